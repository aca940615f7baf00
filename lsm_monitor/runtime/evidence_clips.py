"""Clips that were ordered from the capture processes, until they come or their time is over."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from lsm_monitor.capture import wire
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.evidence.sidecar import Json
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.types import CameraId

MOST_CLIPS = 200
"""Bound of the queue 'clips': what is awaited at any time."""
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class AwaitedClip:
    """A clip that was ordered for an event, and when it is given up."""

    event_id: UUID
    seq: int
    due_mono_s: float


class OrderedClips:
    """What is awaited; thread-safe.

    Args:
        config: How long clips are.
    """

    def __init__(self, config: EvidenceConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._awaited: dict[int, AwaitedClip] = {}
        self._clip_ids = itertools.count(1)

    @property
    def is_full(self) -> bool:
        """Whether no more can be ordered now."""
        return len(self._awaited) >= MOST_CLIPS

    def order(
        self, camera_id: CameraId, event_id: UUID, seq: int, *, at_mono_s: float
    ) -> wire.CutClip:
        """Return the order for the clip of an event that was seen at ``at_mono_s``."""
        until_mono_s = at_mono_s + self._config.clip_after_s
        with self._lock:
            clip_id = next(self._clip_ids)
            self._awaited[clip_id] = AwaitedClip(event_id, seq, until_mono_s + _PATIENCE_S)
        from_mono_s = at_mono_s - self._config.clip_before_s
        return wire.CutClip(camera_id, clip_id, from_mono_s, until_mono_s)

    def arrived(self, clip_id: int) -> AwaitedClip | None:
        """Return whose clip this is; ``None`` when it is not awaited any more."""
        with self._lock:
            return self._awaited.pop(clip_id, None)

    def give_up(self, now_mono_s: float) -> list[AwaitedClip]:
        """Return those that should have come by now, and await them no longer."""
        with self._lock:
            overdue = [n for n, each in self._awaited.items() if now_mono_s >= each.due_mono_s]
            return [self._awaited.pop(clip_id) for clip_id in overdue]

    def event_ids(self) -> set[UUID]:
        """Return the episodes of which a clip is awaited."""
        with self._lock:
            return {awaited.event_id for awaited in self._awaited.values()}


def about_clip(clip: wire.Clip, *, now: datetime, now_mono_s: float) -> Json:
    """Return what a sidecar says about a clip."""
    begins_at = now - timedelta(seconds=now_mono_s - clip.begins_mono_s)
    return {
        "codec": clip.codec,
        "begins_at": rfc3339(begins_at),
        "seconds": round(clip.duration_s, 3),
    }
