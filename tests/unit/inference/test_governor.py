from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.inference.demand import Demand
from lsm_monitor.inference.governor import MAX_STRETCH, LoadGovernor
from lsm_monitor.types import CameraId

WINDOW_S = 10.0

windows = st.tuples(
    st.floats(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 10)
)


@dataclass
class City:
    """Cameras in turn, a queue, and a model that judges so much at most; second by second.

    ``factors`` and ``queue`` are those after each window.
    """

    intervals_s: list[float]
    capacity_per_s: float
    waiting: int = 0
    governor: LoadGovernor = field(default_factory=LoadGovernor)
    factors: list[float] = field(default_factory=list)
    queue: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now_s = 0.0
        # In turn, as the sampler's phases spread them.
        count = len(self.intervals_s)
        self._came_s = [s * (i / count - 1.0) for i, s in enumerate(self.intervals_s)]
        self.shrink(count)

    def shrink(self, count: int) -> None:
        """Go on with only so many cameras."""
        self._cameras = [CameraId(f"camera-{i}") for i in range(count)]
        self._demand = Demand()
        self._expect()

    def _expect(self) -> None:
        for camera, interval_s in zip(self._cameras, self.intervals_s, strict=False):
            self._demand.expect(camera, interval_s * self.governor.stretch)

    def live(self, count: int) -> None:
        """Live through that many windows."""
        for _ in range(count):
            judged = 0
            for _ in range(int(WINDOW_S)):
                self._now_s += 1.0
                for i, camera in enumerate(self._cameras):
                    interval_s = self.intervals_s[i] * self.governor.stretch
                    if self._now_s >= self._came_s[i] + interval_s:
                        self._demand.came(camera, self._now_s)
                        self._came_s[i] = self._now_s
                        self.waiting += 1
                done = min(self.waiting, int(self.capacity_per_s))
                self.waiting -= done
                judged += done
            self.governor.update(
                demand_per_s=self._demand.per_s(self._now_s),
                waiting=self.waiting,
                judged=judged,
                busy_s=judged / self.capacity_per_s,
            )
            self._expect()
            self.factors.append(self.governor.stretch)
            self.queue.append(self.waiting)


@given(st.lists(windows, max_size=50))
def test_intervals_are_never_shortened_and_never_without_limit(
    history: list[tuple[float, int, int, float]],
) -> None:
    governor = LoadGovernor()
    for demand_per_s, waiting, judged, busy_s in history:
        governor.update(
            demand_per_s=demand_per_s, waiting=waiting, judged=judged, busy_s=busy_s
        )
        assert 1.0 <= governor.stretch <= MAX_STRETCH


@pytest.mark.parametrize("interval_s", [100.0, 20.0, 12.0])
def test_a_machine_that_keeps_up_is_left_alone(interval_s: float) -> None:
    city = City([interval_s] * 100, capacity_per_s=10.0)
    city.live(60)
    assert set(city.factors) == {1.0}


@given(
    st.lists(st.sampled_from([5.0, 10.0, 30.0, 60.0]), min_size=50, max_size=150),
    st.integers(6, 20),
)
def test_the_intervals_are_as_much_longer_as_the_machine_needs_and_stay_so(
    intervals_s: list[float], capacity_per_s: int
) -> None:
    city = City(intervals_s, capacity_per_s=capacity_per_s)
    city.live(60)
    needed = sum(1 / s for s in intervals_s) / capacity_per_s
    settled = city.factors[30:]
    assert all(factor <= max(1.0, 1.4 * needed) for factor in settled)
    assert all(waiting <= 30 * capacity_per_s for waiting in city.queue[30:])
    assert len(set(settled)) <= 3  # each change tells all cameras another interval


def test_the_queue_stays_short() -> None:
    city = City([10.0] * 120, capacity_per_s=10.0)
    city.live(60)
    assert max(city.queue) < 300  # half a minute's pictures
    assert max(city.queue[30:]) < 100


def test_the_burst_of_a_start_is_no_overload() -> None:
    city = City([60.0] * 240, capacity_per_s=10.0, waiting=240)
    city.live(20)
    assert set(city.factors) == {1.0}


def test_when_the_load_is_gone_the_intervals_come_back_within_minutes() -> None:
    city = City([5.0] * 200, capacity_per_s=10.0)
    city.live(30)
    assert city.governor.stretch > 4
    city.shrink(20)
    city.live(12)
    assert city.governor.stretch == 1.0


def test_a_city_whose_cameras_are_all_away_is_no_overload() -> None:
    governor = LoadGovernor()
    governor.update(demand_per_s=5.0, waiting=0, judged=50, busy_s=5.0)
    for _ in range(5000):
        governor.update(demand_per_s=0.001, waiting=0, judged=0, busy_s=0.0)
    assert governor.stretch == 1.0
