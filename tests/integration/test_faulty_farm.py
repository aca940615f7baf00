"""The farm's camera: what it does when the plan tells it to break, and to recover."""

from __future__ import annotations

import asyncio
import dataclasses
import threading

import pytest

from benchmarks.faulty_cameras import ALL_FAULTS, HANG, REFUSE, FarmCamera
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode
from tests.reading import Reader, spec_of


class Silent(asyncio.Protocol):
    """A viewer that answers nothing: enough to see who was given the connection."""

    made = 0

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.is_frozen = False
        type(self).made += 1

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.gone.set()


def test_a_camera_of_the_farm_breaks_and_recovers() -> None:
    Silent.made = 0
    thread = LoopThread("farm")
    thread.start()
    camera = FarmCamera(3, Silent)

    def code_when(fault: str | None) -> HealthCode:
        thread.call(camera.become(fault), timeout_s=5.0)
        spec = dataclasses.replace(spec_of(camera), username=None, password=None)
        with pytest.raises(SourceError) as caught:
            open_source(spec, metrics=Metrics(), clock=SystemClock()).close()
        return caught.value.code

    try:
        assert code_when(None) is HealthCode.OPEN_TIMEOUT  # our viewer answers nothing
        assert Silent.made == 1
        assert code_when(REFUSE) is HealthCode.CONNECTION_REFUSED
        assert code_when("not_found") is HealthCode.NOT_FOUND
        assert code_when("unauthorized") is HealthCode.UNAUTHORIZED
        assert code_when(None) is HealthCode.OPEN_TIMEOUT
        assert Silent.made == 2
        thread.call(camera.become(HANG), timeout_s=5.0)
        reader = Reader(dataclasses.replace(spec_of(camera), interval_s=0.01))
        assert reader.error().code is HealthCode.STALLED
        assert {HANG, REFUSE} < set(ALL_FAULTS)
    finally:
        thread.call(camera.close(), timeout_s=5.0)
        thread.stop()
    assert not [t for t in threading.enumerate() if t.name == "farm"]
