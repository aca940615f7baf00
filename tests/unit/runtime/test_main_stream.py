from __future__ import annotations

import queue

import pytest

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.runtime import main_stream
from lsm_monitor.runtime.main_stream import MainPicture, MainStreams
from lsm_monitor.types import CameraId

BRIDGE = CameraId("bridge")
NOBODY_THERE = CameraConfig(
    url="rtsp://127.0.0.1:1/sub", evidence_url="rtsp://127.0.0.1:1/main"
)


def test_a_main_stream_that_cannot_be_had_gives_a_reason_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    came: queue.SimpleQueue[MainPicture] = queue.SimpleQueue()
    assert MainStreams(SystemClock()).grab(BRIDGE, NOBODY_THERE, came.put)
    picture = came.get(timeout=30)
    assert (picture.image, picture.problem) == (None, "the main stream: CONNECTION_REFUSED")
    assert "rtsp://127.0.0.1:1/main" in caplog.text


def test_there_are_few_places_and_none_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_stream, "_PARALLEL", 0)
    assert not MainStreams(SystemClock()).grab(BRIDGE, NOBODY_THERE, lambda _: None)
    monkeypatch.undo()
    streams = MainStreams(SystemClock())
    streams.close()
    assert not streams.grab(BRIDGE, NOBODY_THERE, lambda _: None)
