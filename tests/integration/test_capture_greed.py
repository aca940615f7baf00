"""A camera that floods takes what the others leave of the processor, and no more."""

from __future__ import annotations

import dataclasses
import os
import threading

import pytest

from lsm_monitor.capture import wire
from lsm_monitor.capture.greed import LAST_NICE
from lsm_monitor.capture.worker import CaptureWorker
from lsm_monitor.clock import SystemClock
from tests.reading import spec_of
from tests.rtsp_faults import FaultyCamera
from tests.rtsp_stream_faults import FAULTS, small_clip


def nice_of(thread: threading.Thread | None) -> int:
    assert thread is not None
    assert thread.native_id is not None
    return os.getpriority(os.PRIO_PROCESS, thread.native_id)


@pytest.mark.skipif(
    os.getpriority(os.PRIO_PROCESS, 0) >= LAST_NICE, reason="runs at the last priority itself"
)
def test_a_camera_that_floods_goes_last_until_its_next_connection() -> None:
    ours, theirs = wire.pair()
    flooding = FaultyCamera(small_clip(), [FAULTS["flood_of_answers"]()])
    with ours, theirs, flooding as camera:
        worker = CaptureWorker(theirs, on_secret=lambda _: None, clock=SystemClock())
        spec = dataclasses.replace(spec_of(camera), read_timeout_s=2.0)
        order = wire.Watch(1, spec, 0.1, on_visits=False, stream_epoch=0, health=None)
        worker._watch(order, None)
        (held,) = worker._cameras.values()
        first, pause = held.thread, threading.Event()
        while held.greed is None or not held.greed.is_last:
            pause.wait(0.2)
            worker._hold_back_greedy()
        assert nice_of(first) == LAST_NICE
        while held.thread is first:
            pause.wait(0.2)
            worker._hold_back_greedy()
        assert nice_of(held.thread) == os.getpriority(os.PRIO_PROCESS, 0)
        assert held.capture.stream_epoch > 0
        worker._stop_all()
