from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.runtime.cameras import Cameras
from lsm_monitor.runtime.overview import Overview
from tests.fakes import FakeClock
from tests.unit.runtime.test_decisions import BRIDGE, CAMERA, Street


class Fleet:
    """Remembers what is to be captured."""

    def __init__(self) -> None:
        self.cameras: dict[str, WatchedCamera] = {}

    def put(self, camera: WatchedCamera) -> None:
        self.cameras[camera.spec.camera_id] = camera


@pytest.mark.parametrize(
    ("factor", "every_s"),
    [(1.0, 5), (1.0, 9), (12.0, 12)],  # 'stale_after_s' is 10
)
def test_a_machine_that_does_not_keep_up_finds_a_flood_all_the_same(
    factor: float, every_s: int, tmp_path: Path, clock: FakeClock
) -> None:
    street = Street(tmp_path, clock, watched=())
    fleet = Fleet()
    cameras = Cameras(
        MonitorConfig.model_validate(
            {"version": 1, "site": "west", "mqtt": {"host": "h"}, "cameras": {BRIDGE: CAMERA}}
        ),
        fleet=cast("CaptureFleet", fleet),
        scheduler=FrameScheduler(max_batch=1, metrics=street.metrics, clock=clock),
        decisions=street.decisions,
        overview=Overview(street.metrics),
        clock=clock,
    )
    cameras.start()
    cameras.stretch(factor)
    assert fleet.cameras[BRIDGE].spec.interval_s == factor
    for _ in range(10):
        street.wait(every_s - 1)
        street.see(0.6)
    assert street.events() == [("open", 1)]
    street.wait(30)
    assert street.events() == [("open", 1), ("stale", 2)]
