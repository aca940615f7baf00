"""What waits for the disk: pictures of events, and what came later.

The queue ``evidence`` is bounded by what it holds in memory. What does not fit is dropped and
counted: a full disk, or one that hangs, costs evidence and never an alert.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from lsm_monitor.evidence.sidecar import EvidenceKind, Json
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.runtime.decisions import Seen
from lsm_monitor.types import CameraId

MAX_BYTES = 64 * 2**20
"""Nine pictures of 1080p with their masks, or fifty of a substream's 640 x 360."""
MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An event whose pictures are to be stored.

    Attributes:
        event_id: The episode's.
        seq: The event's.
        camera_id: Whose event it is.
        payload: The event as it is sent.
        seen: What decided; ``None`` when no picture did.
        clip_reason: Why there is no clip yet, or will be none; ``None`` when nobody wants one.
    """

    event_id: UUID
    seq: int
    camera_id: CameraId
    payload: bytes
    seen: Seen | None
    clip_reason: str | None

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        if self.seen is None:
            return len(self.payload)
        frame, mask = self.seen
        return len(self.payload) + frame.image.nbytes + mask.probability.nbytes

    @property
    def origin(self) -> Json | None:
        """Where the picture came from, for the sidecar."""
        if self.seen is None:
            return None
        frame, mask = self.seen
        height_px, width_px = frame.image.shape[:2]
        return {
            "taken_at": rfc3339(frame.stamp.decoded_at),
            "stream_epoch": frame.stamp.stream_epoch,
            "sequence": frame.stamp.sequence,
            "pts_s": frame.stamp.pts_s,
            "width_px": width_px,
            "height_px": height_px,
            "threshold": mask.threshold,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Late:
    """A file that comes later than the pictures; without ``data``, the ``reason`` why not."""

    event_id: UUID
    seq: int
    kind: EvidenceKind
    data: bytes | None
    about: Json = field(default_factory=dict)
    reason: str = ""

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return len(self.data or b"")


class EvidenceQueue:
    """First in, first out; thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._items: deque[Case | Late] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much would be taken now."""
        with self._condition:
            return self._fits(size_bytes)

    def put(self, item: Case | Late) -> bool:
        """Return whether ``item`` was taken; never waits."""
        with self._condition:
            if not self._fits(item.size_bytes):
                return False
            self._items.append(item)
            self._size_bytes += item.size_bytes
            self._condition.notify()
            return True

    def take(self, timeout_s: float) -> Case | Late | None:
        """Return the oldest, or ``None`` when none came in time."""
        with self._condition:
            if not self._condition.wait_for(lambda: self._items, timeout_s):
                return None
            item = self._items.popleft()
            self._size_bytes -= item.size_bytes
            return item

    def event_ids(self) -> set[UUID]:
        """Return the episodes that something waits for."""
        with self._condition:
            return {item.event_id for item in self._items}

    def _fits(self, size_bytes: int) -> bool:
        fits = self._size_bytes + size_bytes <= MAX_BYTES or not self._items
        return fits and len(self._items) < MAX_ITEMS
