from __future__ import annotations

import math
from pathlib import Path

import pytest

from lsm_monitor.capture import wire
from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.held import Worker
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.camera_memories import CameraMemories
from lsm_monitor.types import CameraHealth, CameraId, HealthCode, HealthState
from tests.fakes import FakeClock

BRIDGE = CameraId("bridge")
SPEC = SourceSpec(BRIDGE, "rtsp://192.0.2.1/1", None, None, "tcp", "keyframes", 60, 5, 5)


def fleet_of(
    path: Path, clock: FakeClock, metrics: Metrics, told: list[CameraHealth]
) -> CaptureFleet:
    return CaptureFleet(
        command=("/bin/false",),
        cameras_per_process=25,
        patrol_parallel=1,
        on_frame=lambda _: None,
        on_health=told.append,
        on_unusable=lambda _stamp, _codes: None,
        memories=CameraMemories(path),
        metrics=metrics,
        clock=clock,
    )


def test_a_camera_that_nobody_holds_takes_no_place_on_the_patrol(
    tmp_path: Path, clock: FakeClock
) -> None:
    told: list[CameraHealth] = []
    fleet = fleet_of(tmp_path, clock, Metrics(), told)
    fleet.put(WatchedCamera(SPEC, backoff_max_s=60, on_patrol=True))
    fleet._adopt_changes()
    fleet._on_assigned(BRIDGE)
    fleet._on_trouble(BRIDGE, HealthCode.INTERNAL)
    assert fleet._plan.take_due(math.inf) == []
    assert [health.codes for health in told] == [(HealthCode.INTERNAL,)]


@pytest.mark.parametrize("is_gone", [False, True])
def test_what_comes_late_of_a_camera_that_is_gone_is_not_counted(
    tmp_path: Path, clock: FakeClock, *, is_gone: bool
) -> None:
    metrics = Metrics()
    fleet = fleet_of(tmp_path, clock, metrics, [])
    fleet.put(WatchedCamera(SPEC, backoff_max_s=60))
    fleet._adopt_changes()
    if is_gone:
        fleet.remove(BRIDGE)
        metrics.forget_camera(BRIDGE)
    theirs, ours = wire.pair()
    with theirs, ours:
        wire.send(theirs, wire.Beat({}, [("frames", (BRIDGE, "received"), 1.0)]))
        health = CameraHealth(BRIDGE, HealthState.USABLE, (), "", clock.now(), 0)
        wire.send(theirs, wire.Health(0, health))
        for _ in range(2):
            news = wire.receive(ours)
            assert news is not None
            fleet._accept(Worker(link=None, is_alone=False), *news)  # type: ignore[arg-type] # not asked
    fleet._on_trouble(BRIDGE, HealthCode.INTERNAL)
    of_bridge = [name for name in metrics.snapshot() if BRIDGE in name]
    assert bool(of_bridge) is not is_gone
