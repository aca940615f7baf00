from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, FrameStamp
from tests.fakes import FakeClock


class Camera:
    """Delivers frames to a scheduler, by name."""

    def __init__(self, name: str, clock: FakeClock, scheduler: FrameScheduler) -> None:
        self.camera_id = CameraId(name)
        self._clock = clock
        self._scheduler = scheduler
        scheduler.watch(self.camera_id, interval_s=5.0 / 3)

    def deliver(self) -> None:
        stamp = FrameStamp(
            self.camera_id, 0, 0, None, datetime(2026, 7, 1, tzinfo=UTC), self._clock.now_s
        )
        self._scheduler.put(Frame(stamp, np.zeros((2, 2, 3), np.uint8)))


class Arrivals(threading.Event):
    """Waiting for it lets time pass, up to the next thing in ``script`` that happens."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.script: list[tuple[float, Callable[[], None]]] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "a wait without an end"
        until_s = self._clock.now_s + timeout
        if not self.is_set() and self.script and self.script[0][0] <= until_s:
            self._clock.now_s, happen = self.script.pop(0)
            happen()
        elif not self.is_set():
            self._clock.now_s = until_s
        return self.is_set()


def build(
    names: Iterable[str],
    clock: FakeClock,
    max_batch: int = 2,
    *,
    batch_deadline_s: float = 0.0,
    arrived: threading.Event | None = None,
) -> tuple[FrameScheduler, dict[str, Camera], Metrics]:
    metrics = Metrics()
    scheduler = FrameScheduler(
        max_batch=max_batch,
        batch_deadline_s=batch_deadline_s,
        metrics=metrics,
        clock=clock,
        arrived=arrived,
    )
    return scheduler, {name: Camera(name, clock, scheduler) for name in names}, metrics


def waiting_for(clock: FakeClock, deliveries: dict[str, float]) -> FrameScheduler:
    """Return a scheduler with a deadline of 50 ms; each camera delivers so many s from now."""
    arrived = Arrivals(clock)
    scheduler, cameras, _ = build(deliveries, clock, 4, batch_deadline_s=0.05, arrived=arrived)
    arrived.script = [
        (clock.now_s + after_s, cameras[name].deliver) for name, after_s in deliveries.items()
    ]
    return scheduler


def names(frames: list[Frame]) -> str:
    return "".join(frame.stamp.camera_id for frame in frames)


def test_the_longest_unserved_camera_comes_first(clock: FakeClock) -> None:
    scheduler, cameras, _ = build("abc", clock)
    batches = []
    for _ in range(3):
        for camera in cameras.values():
            camera.deliver()
        batches.append(names(scheduler.take_batch(0)))
    assert batches == ["ab", "ca", "bc"]


def test_a_batch_does_not_wait_for_a_camera_that_has_nothing(clock: FakeClock) -> None:
    scheduler, cameras, _ = build("abc", clock)
    cameras["c"].deliver()
    assert names(scheduler.take_batch(0)) == "c"


def test_a_batch_is_what_came_within_the_deadline_of_its_first_frame(clock: FakeClock) -> None:
    began_s = clock.now_s
    scheduler = waiting_for(clock, {"a": 0.3, "b": 0.33, "c": 0.349, "d": 0.36})
    assert names(scheduler.take_batch(0.5)) == "abc"
    assert clock.now_s - began_s == pytest.approx(0.35)


def test_a_full_batch_does_not_wait_for_the_deadline(clock: FakeClock) -> None:
    began_s, arrived = clock.now_s, Arrivals(clock)
    scheduler, cameras, _ = build("abc", clock, 2, batch_deadline_s=0.05, arrived=arrived)

    def deliver_both() -> None:
        cameras["b"].deliver()
        cameras["c"].deliver()

    arrived.script = [(began_s, cameras["a"].deliver), (began_s + 0.01, deliver_both)]
    assert names(scheduler.take_batch(0.5)) == "ab"
    assert clock.now_s - began_s == pytest.approx(0.01)


def test_nobody_waits_for_the_deadline_where_nothing_came(clock: FakeClock) -> None:
    began_s = clock.now_s
    scheduler = waiting_for(clock, {"a": 0.51})
    assert scheduler.take_batch(0.5) == []
    assert clock.now_s - began_s == pytest.approx(0.5)


def test_without_a_deadline_a_frame_goes_at_once(clock: FakeClock) -> None:
    began_s, arrived = clock.now_s, Arrivals(clock)
    scheduler = FrameScheduler(max_batch=4, metrics=Metrics(), clock=clock, arrived=arrived)
    camera = Camera("a", clock, scheduler)
    arrived.script = [(began_s + 0.3, camera.deliver)]
    assert names(scheduler.take_batch(0.5)) == "a"
    assert clock.now_s - began_s == pytest.approx(0.3)


def test_being_woken_for_nothing_does_not_prolong_the_wait(clock: FakeClock) -> None:
    began_s, arrived = clock.now_s, Arrivals(clock)
    scheduler, cameras, _ = build("ab", clock, 4, batch_deadline_s=0.05, arrived=arrived)
    arrived.script = [
        (began_s, cameras["a"].deliver),
        *[(began_s + 0.01 * n, arrived.set) for n in range(1, 10)],
    ]
    assert names(scheduler.take_batch(0.5)) == "a"
    assert clock.now_s - began_s == pytest.approx(0.05)


def test_frames_left_over_are_taken_at_once_by_the_next_call(clock: FakeClock) -> None:
    began_s = clock.now_s
    scheduler, cameras, _ = build("abc", clock, arrived=Arrivals(clock))
    for camera in cameras.values():
        camera.deliver()
    assert names(scheduler.take_batch(60)) == "ab"
    assert names(scheduler.take_batch(60)) == "c"
    assert clock.now_s == began_s


def test_a_stale_frame_is_dropped_and_counted(clock: FakeClock) -> None:
    scheduler, cameras, metrics = build("a", clock)
    cameras["a"].deliver()
    clock.now_s += 5.1
    assert scheduler.take_batch(0) == []
    assert metrics.snapshot()['lsm_camera_frames_total{camera="a",stage="stale"}'] == 1.0


def test_a_newer_frame_takes_the_place_of_one_that_nobody_took(clock: FakeClock) -> None:
    scheduler, cameras, metrics = build("a", clock)
    cameras["a"].deliver()
    clock.now_s += 1
    cameras["a"].deliver()
    assert [f.stamp.decoded_mono_s for f in scheduler.take_batch(0)] == [clock.now_s]
    assert metrics.snapshot()['lsm_camera_frames_total{camera="a",stage="dropped"}'] == 1.0


def test_a_camera_can_be_forgotten_while_its_frame_waits(clock: FakeClock) -> None:
    scheduler, cameras, _ = build("ab", clock)
    cameras["a"].deliver()
    scheduler.forget(CameraId("a"))
    cameras["a"].deliver()
    cameras["b"].deliver()
    assert names(scheduler.take_batch(0)) == "b"


@given(
    deliveries=st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=40)
)
@pytest.mark.filterwarnings("error")
def test_no_camera_waits_longer_than_one_round(deliveries: list[set[str]]) -> None:
    scheduler, cameras, _ = build("abcdef", FakeClock())
    waiting: dict[str, int] = {}
    for delivered in deliveries:
        for name in delivered:
            cameras[name].deliver()
            waiting.setdefault(name, 0)
        served = names(scheduler.take_batch(0))
        waiting = {name: n + 1 for name, n in waiting.items() if name not in served}
        assert max(waiting.values(), default=0) < 3  # 6 cameras, batches of 2


def test_how_many_frames_wait_is_a_gauge(clock: FakeClock) -> None:
    scheduler, cameras, metrics = build("abc", clock)
    for camera in cameras.values():
        camera.deliver()
    assert metrics.snapshot()['lsm_queue_depth{queue="frames"}'] == 3
    scheduler.take_batch(0)
    assert metrics.snapshot()['lsm_queue_depth{queue="frames"}'] == 1


def test_frames_that_need_too_much_memory_cost_the_oldest_ones(clock: FakeClock) -> None:
    metrics, names_ = Metrics(), "abcd"
    scheduler = FrameScheduler(
        max_batch=4, metrics=metrics, clock=clock, max_waiting_bytes=3 * 12
    )
    cameras = {name: Camera(name, clock, scheduler) for name in names_}
    for name in "abacd":  # a picture is 12 bytes, and that of a is replaced by a newer one
        cameras[name].deliver()
    assert scheduler.waiting == 3
    assert names(scheduler.take_batch(0)) == "acd"
    told = metrics.snapshot()
    assert told['lsm_camera_frames_total{camera="b",stage="dropped"}'] == 1
    for name in names_:  # what was taken needs no memory any more
        cameras[name].deliver()
    assert scheduler.waiting == 3
