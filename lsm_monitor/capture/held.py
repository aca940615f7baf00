"""What is held: a camera, and the capture process that holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.capture.worker_link import WorkerLink
from lsm_monitor.types import CameraHealth, CameraId

# A camera on visits costs a process next to nothing between them.
_VISITED_LOAD = 0.1


@dataclass(slots=True, eq=False)
class Worker:
    """A capture process and the cameras it was given; ``retires_at_s`` once it is replaced."""

    link: WorkerLink
    is_alone: bool
    cameras: set[CameraId] = field(default_factory=set)
    retires_at_s: float | None = None


@dataclass(slots=True, eq=False)
class HeldCamera:
    """A camera as it is held now.

    Attributes:
        wanted: What is to be held.
        worker: Who holds it; ``None`` while nobody does.
        assignment: Number of the newest order to watch it.
        former_assignment: The one before, while its pictures still count.
        stream_epoch: Newest connection.
        health: What was told last.
        is_done: A file that is over.
        not_before_s: When it may be assigned again.
        troubles_at_s: When it, or its process, went wrong lately.
    """

    wanted: WatchedCamera
    worker: Worker | None = None
    assignment: int = 0
    former_assignment: int | None = None
    stream_epoch: int = -1
    health: CameraHealth | None = None
    is_done: bool = False
    not_before_s: float = 0.0
    troubles_at_s: list[float] = field(default_factory=list)

    @property
    def load(self) -> float:
        """What it costs a process; a camera that stays connected is 1."""
        return _VISITED_LOAD if self.wanted.on_patrol else 1.0
