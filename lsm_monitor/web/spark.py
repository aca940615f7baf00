"""The last hour of each camera in at most sixty points: what a small curve shows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from lsm_monitor.history.tiers import Reading
from lsm_monitor.types import CameraId

_MINUTE_S = 60
_POINTS = 60
Point = tuple[int, float]


class Sparks:
    """Water fractions per minute, the largest of each. For one thread."""

    def __init__(self) -> None:
        self._points: dict[CameraId, deque[Point]] = {}

    def add(self, camera_id: CameraId, at: datetime, fraction: float) -> None:
        """Note a fraction in [0, 1]; ``at`` is aware and does not go back by much."""
        points = self._points.setdefault(camera_id, deque(maxlen=_POINTS))
        unix_s = int(at.timestamp())
        minute = unix_s // _MINUTE_S
        if points and points[-1][0] // _MINUTE_S >= minute:
            last_s, largest = points[-1]
            points[-1] = (last_s, max(largest, round(fraction, 4)))
        else:
            points.append((unix_s, round(fraction, 4)))

    def recall(self, camera_id: CameraId, readings: Iterable[Reading]) -> None:
        """Put what was read earlier before the points that there are."""
        newer = self._points.pop(camera_id, deque[Point](maxlen=_POINTS))
        for reading in sorted(readings, key=lambda reading: reading.at):
            if reading.fraction is not None:
                self.add(camera_id, reading.at, reading.fraction)
        self._points.setdefault(camera_id, deque(maxlen=_POINTS)).extend(newer)

    def of(self, camera_id: CameraId, now: datetime) -> list[Point]:
        """Return the points of the last hour, oldest first."""
        oldest_s = now.timestamp() - _POINTS * _MINUTE_S
        return [p for p in self._points.get(camera_id, ()) if p[0] > oldest_s]

    def keep_only(self, camera_ids: frozenset[CameraId]) -> None:
        """Forget all other cameras."""
        for camera_id in self._points.keys() - camera_ids:
            del self._points[camera_id]
