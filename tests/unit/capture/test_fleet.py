from __future__ import annotations

import math
from pathlib import Path

from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.camera_memories import CameraMemories
from lsm_monitor.types import CameraHealth, CameraId, HealthCode
from tests.fakes import FakeClock

BRIDGE = CameraId("bridge")


def test_a_camera_that_nobody_holds_takes_no_place_on_the_patrol(
    tmp_path: Path, clock: FakeClock
) -> None:
    told: list[CameraHealth] = []
    fleet = CaptureFleet(
        command=("/bin/false",),
        cameras_per_process=25,
        patrol_parallel=1,
        on_frame=lambda _: None,
        on_health=told.append,
        on_unusable=lambda _stamp, _codes: None,
        memories=CameraMemories(tmp_path),
        metrics=Metrics(),
        clock=clock,
    )
    spec = SourceSpec(BRIDGE, "rtsp://192.0.2.1/1", None, None, "tcp", "keyframes", 60, 5, 5)
    fleet.put(WatchedCamera(spec, backoff_max_s=60, on_patrol=True))
    fleet._adopt_changes()
    fleet._on_assigned(BRIDGE)
    fleet._on_trouble(BRIDGE, HealthCode.INTERNAL)
    assert fleet._plan.take_due(math.inf) == []
    assert [health.codes for health in told] == [(HealthCode.INTERNAL,)]
