from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lsm_monitor.capture import wire
from lsm_monitor.capture.measured import adopt_measured
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.worker import CaptureWorker
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId
from tests.fakes import FakeClock

BRIDGE = CameraId("bridge")


def order_to_visit(url: str) -> wire.Watch:
    spec = SourceSpec(
        camera_id=BRIDGE,
        url=url,
        username=None,
        password=None,
        transport="tcp",
        decode="keyframes",
        interval_s=120.0,
        open_timeout_s=1.0,
        read_timeout_s=1.0,
    )
    return wire.Watch(1, spec, 1.0, on_visits=True, stream_epoch=0, health=None)


def test_the_time_between_two_visits_is_no_silence(tmp_path: Path, clock: FakeClock) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it takes until somebody writes
    ours, theirs = wire.pair()
    with ours, theirs:
        worker = CaptureWorker(theirs, on_secret=lambda _: None, clock=clock)
        worker._watch(order_to_visit(str(pipe)), None)
        clock.now_s += 600
        worker._pass_on(wire.Visit(BRIDGE), worker._cameras[BRIDGE])
        assert worker._beat(0.0).silent_s == {}
        clock.now_s += 100
        assert worker._beat(0.0).silent_s == {BRIDGE: pytest.approx(100.0)}
        assert worker._beat(10.0).silent_s == {}  # the process itself stood still
        worker._forget(BRIDGE)
        threading.Thread(target=lambda: pipe.write_bytes(b""), daemon=True).start()


def test_a_thread_that_hangs_is_told_after_its_camera_was_taken_away(
    tmp_path: Path, clock: FakeClock
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ours, theirs = wire.pair()
    with ours, theirs:
        worker = CaptureWorker(theirs, on_secret=lambda _: None, clock=clock)
        worker._watch(order_to_visit(str(pipe)), None)
        worker._pass_on(wire.Visit(BRIDGE), held := worker._cameras[BRIDGE])
        worker._forget(BRIDGE)
        assert worker._beat(0.0).overdue_s == 0.0
        clock.now_s += 100
        assert worker._beat(0.0).overdue_s == pytest.approx(98.0)  # beyond its time-outs
        assert worker._beat(10.0).overdue_s == 0.0  # the process itself stood still
        pipe.write_bytes(b"")
        assert held.thread is not None
        held.thread.join(10.0)
        assert worker._beat(0.0).overdue_s == 0.0


def test_what_a_process_measured_arrives_once() -> None:
    there, here = Metrics(), Metrics()
    ours, theirs = wire.pair()
    with ours, theirs:
        worker = CaptureWorker(theirs, on_secret=lambda _: None, clock=FakeClock())
        worker._metrics = there
        for seconds in (2.0, 4.0):
            there.frames.labels("bridge", "decoded").inc(3)
            there.keyframe_interval_s.labels("bridge").set(seconds)
            adopt_measured(here, worker._beat(0.0).measured)
        assert worker._beat(0.0).measured == []
    told = here.snapshot()
    assert told['lsm_camera_frames_total{camera="bridge",stage="decoded"}'] == 6
    assert told['lsm_camera_keyframe_interval_seconds{camera="bridge"}'] == 4
