"""Which camera on patrol is visited next.

Visits of a camera lie on a grid of its interval, and the grids are spread evenly, so that no
burst hits the network. When there are more visits than can be made, every camera's interval
stretches alike: whoever is latest *in parts of its own interval* goes first, and a priority of
two counts as twice as late.

A camera that fails is visited less and less often, up to :data:`MAX_FAILED_INTERVALS` times its
interval or five minutes, whichever is longer; and cameras that failed last time get at most
half of the places: a district without power must not keep the rest of the city waiting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lsm_monitor.types import CameraId

MAX_FAILED_INTERVALS = 8
_MAX_FAILED_WAIT_S = 300.0
_GOLDEN_FRACTION = (math.sqrt(5) - 1) / 2


@dataclass(slots=True)
class _Planned:
    """A camera's place in the plan; ``due_s`` on the caller's monotonic clock."""

    interval_s: float
    priority: float
    due_s: float
    failures: int = 0
    is_visited: bool = False
    visited_at_s: float | None = None


class PatrolPlan:
    """The visits of all cameras on patrol. Not thread-safe.

    Args:
        parallel: Most visits at any time.
    """

    def __init__(self, parallel: int) -> None:
        self._parallel = parallel
        self._cameras: dict[CameraId, _Planned] = {}
        self._joined = 0

    def put(
        self, camera_id: CameraId, *, interval_s: float, priority: float, now_s: float
    ) -> None:
        """Add a camera, or change how often it is visited.

        A new camera's first visit comes within one interval; a changed one's when it would be
        due by the new interval.
        """
        planned = self._cameras.get(camera_id)
        if planned is None:
            # Multiples of the golden ratio fill an interval evenly, however many they are.
            self._joined += 1
            phase = self._joined * _GOLDEN_FRACTION % 1.0
            due_s = now_s + phase * interval_s
            self._cameras[camera_id] = _Planned(interval_s, priority, due_s)
            return
        # One that failed is visited when its wait is over, whatever the interval.
        if interval_s != planned.interval_s and not planned.failures:
            since_s = now_s if planned.visited_at_s is None else planned.visited_at_s
            planned.due_s = max(now_s, min(planned.due_s, since_s + interval_s))
        planned.interval_s, planned.priority = interval_s, priority

    def remove(self, camera_id: CameraId) -> None:
        """Take a camera out of the plan, if it is in it."""
        self._cameras.pop(camera_id, None)

    def abandon_visit(self, camera_id: CameraId) -> None:
        """Forget that a camera is being visited: whoever did that is gone."""
        if planned := self._cameras.get(camera_id):
            planned.is_visited = False

    def take_due(self, now_s: float) -> list[CameraId]:
        """Return the cameras to visit now, and count them as being visited."""
        free = self._parallel - sum(p.is_visited for p in self._cameras.values())
        free_for_failed = max(1, self._parallel // 2) - sum(
            p.is_visited and p.failures > 0 for p in self._cameras.values()
        )
        due = [(_lateness(p, now_s), n) for n, p in self._cameras.items() if _is_due(p, now_s)]
        chosen: list[CameraId] = []
        for _, camera_id in sorted(due, key=lambda item: -item[0]):
            planned = self._cameras[camera_id]
            if len(chosen) == free:
                break
            if planned.failures > 0:
                if free_for_failed <= 0:
                    continue
                free_for_failed -= 1
            planned.is_visited = True
            chosen.append(camera_id)
        return chosen

    def finished(self, camera_id: CameraId, *, delivered: bool, now_s: float) -> None:
        """Note the end of a visit; plans the next one."""
        planned = self._cameras.get(camera_id)
        if planned is None:
            return
        planned.is_visited = False
        planned.visited_at_s = now_s
        planned.failures = 0 if delivered else planned.failures + 1
        if delivered:
            # The next place on the grid; a late visit does not move the grid.
            missed = math.floor((now_s - planned.due_s) / planned.interval_s)
            planned.due_s += (missed + 1) * planned.interval_s
        else:
            planned.due_s = now_s + self._wait_s(planned)

    def wait_s(self, now_s: float) -> float:
        """Return the time to the next visit that is planned; infinite without one."""
        # What is due already waits for a place, and a place is news of its own.
        return min(
            (p.due_s - now_s for p in self._cameras.values() if p.due_s > now_s),
            default=math.inf,
        )

    def _wait_s(self, planned: _Planned) -> float:
        longest_s = max(MAX_FAILED_INTERVALS * planned.interval_s, _MAX_FAILED_WAIT_S)
        return min(longest_s, planned.interval_s * 2.0 ** min(planned.failures - 1, 20))


def _lateness(planned: _Planned, now_s: float) -> float:
    """Return for how many of its intervals a camera was not looked at, times its priority."""
    if planned.visited_at_s is None:
        return math.inf  # nobody has seen it yet
    return planned.priority * (now_s - planned.visited_at_s) / planned.interval_s


def _is_due(planned: _Planned, now_s: float) -> bool:
    return not planned.is_visited and planned.due_s <= now_s
