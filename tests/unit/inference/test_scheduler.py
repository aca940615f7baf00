from __future__ import annotations

import threading
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
    """A mailbox that can be filled by name."""

    def __init__(self, name: str, clock: FakeClock, arrived: threading.Event) -> None:
        self._arrived = arrived
        self.camera_id = CameraId(name)
        self._clock = clock
        self._frame: Frame | None = None

    def deliver(self) -> None:
        stamp = FrameStamp(
            self.camera_id, 0, 0, None, datetime(2026, 7, 1, tzinfo=UTC), self._clock.now_s
        )
        self._frame = Frame(stamp, np.zeros((2, 2, 3), np.uint8))
        self._arrived.set()

    def take(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame


def build(
    names: str, clock: FakeClock, max_batch: int = 2
) -> tuple[FrameScheduler, dict[str, Camera], Metrics]:
    arrived = threading.Event()
    cameras = {name: Camera(name, clock, arrived) for name in names}
    metrics = Metrics()
    scheduler = FrameScheduler(
        {camera.camera_id: camera.take for camera in cameras.values()},
        arrived=arrived,
        max_age_s=dict.fromkeys(map(CameraId, cameras), 5.0),
        max_batch=max_batch,
        metrics=metrics,
        clock=clock,
    )
    return scheduler, cameras, metrics


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


def test_frames_left_over_are_taken_at_once_by_the_next_call(clock: FakeClock) -> None:
    scheduler, cameras, _ = build("abc", clock)
    for camera in cameras.values():
        camera.deliver()
    assert names(scheduler.take_batch(60)) == "ab"
    assert names(scheduler.take_batch(60)) == "c"


def test_a_stale_frame_is_dropped_and_counted(clock: FakeClock) -> None:
    scheduler, cameras, metrics = build("a", clock)
    cameras["a"].deliver()
    clock.now_s += 5.1
    assert scheduler.take_batch(0) == []
    assert metrics.snapshot()['lsm_camera_frames_total{camera="a",stage="stale"}'] == 1.0


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
