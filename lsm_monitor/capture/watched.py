"""What is wanted of one camera's capture."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsm_monitor.capture.packet_ring import RingLimits
from lsm_monitor.capture.source import SourceSpec


@dataclass(frozen=True, slots=True)
class WatchedCamera:
    """A camera that is wanted.

    Attributes:
        spec: How to open it, and how often a picture is kept.
        backoff_max_s: Longest wait between two attempts.
        on_patrol: Visit it once per interval instead of staying connected.
        priority: On patrol: how much more than others it counts when there is no time for all.
        ring: How much of its packets is kept for clips; ``None``: nothing.
        aim: Fingerprint of what its view is learnt for; for another one it is learnt anew.
    """

    spec: SourceSpec
    backoff_max_s: float
    on_patrol: bool = False
    priority: float = 1.0
    ring: RingLimits | None = None
    aim: str = ""

    def is_opened_like(self, other: WatchedCamera) -> bool:
        """Whether going from one to the other needs no new connection."""
        spec = replace(self.spec, interval_s=other.spec.interval_s)
        return (spec, self.backoff_max_s, self.on_patrol, self.ring) == (
            other.spec,
            other.backoff_max_s,
            other.on_patrol,
            other.ring,
        )
