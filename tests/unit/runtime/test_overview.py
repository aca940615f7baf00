from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthCode,
    HealthState,
    WaterLevel,
    WaterState,
    ZoneId,
)

NOW = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE, SCHOOL, LANE = CameraId("bridge"), CameraId("school"), ZoneId("lane")


def health(state: HealthState, *codes: HealthCode) -> CameraHealth:
    return CameraHealth(BRIDGE, state, codes, "", NOW, 0)


def water(level: WaterLevel, fraction: float | None = None, zone: ZoneId = LANE) -> WaterState:
    seen_at = None if level is WaterLevel.UNKNOWN else NOW
    return WaterState(BRIDGE, zone, level, fraction, None, NOW, seen_at)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def overview(metrics: Metrics) -> Overview:
    result = Overview(metrics)
    result.watch({BRIDGE: 10.0}, NOW)
    return result


def test_a_camera_is_undecided_until_it_is_judged_or_known_to_be_blind(
    overview: Overview,
) -> None:
    assert overview.undecided() == [BRIDGE]
    overview.on_health(health(HealthState.OFFLINE, HealthCode.OPEN_TIMEOUT))
    assert (overview.undecided(), overview.any_decided()) == ([], False)
    overview.on_health(health(HealthState.USABLE))
    assert overview.undecided() == [BRIDGE]
    overview.on_states([water(WaterLevel.UNKNOWN)])
    assert overview.undecided() == [BRIDGE]
    overview.on_states([water(WaterLevel.DRY, 0.0)])
    assert (overview.undecided(), overview.any_decided()) == ([], True)


def test_a_level_from_before_a_restart_is_no_decision_until_a_picture_comes(
    overview: Overview,
) -> None:
    restored = replace(water(WaterLevel.FLOODED), observed_at=None)
    overview.on_states([restored])
    assert (overview.undecided(), overview.any_decided()) == ([BRIDGE], False)
    overview.on_states([replace(restored, water_fraction=0.3, observed_at=NOW)])
    assert (overview.undecided(), overview.any_decided()) == ([], True)


def test_one_level_of_a_zone_is_1_and_the_others_it_had_are_0(
    overview: Overview, metrics: Metrics
) -> None:
    overview.on_states([water(WaterLevel.DRY, 0.0)])
    overview.on_states([water(WaterLevel.FLOODED, 0.4)])
    samples = metrics.snapshot()
    assert samples['lsm_zone_level{camera="bridge",zone="lane",level="dry"}'] == 0
    assert samples['lsm_zone_level{camera="bridge",zone="lane",level="flooded"}'] == 1
    assert samples['lsm_zone_water_ratio{camera="bridge",zone="lane"}'] == 0.4
    name = 'lsm_camera_last_frame_timestamp_seconds{camera="bridge"}'
    assert samples[name] == NOW.timestamp()


def test_a_zone_that_cannot_be_seen_has_no_number_and_stops_no_statistics(
    overview: Overview, metrics: Metrics
) -> None:
    overview.on_states([water(WaterLevel.DRY, 0.1)])
    overview.on_states([water(WaterLevel.UNKNOWN)])
    shown = generate_latest(metrics.registry).decode()
    assert 'lsm_zone_water_ratio{camera="bridge",zone="lane"} NaN' in shown
    samples = metrics.snapshot()
    assert 'lsm_zone_level{camera="bridge",zone="lane",level="unknown"}' in samples
    assert 'lsm_zone_water_ratio{camera="bridge",zone="lane"}' not in samples


def test_a_health_code_goes_back_to_0_when_its_reason_is_gone(
    overview: Overview, metrics: Metrics
) -> None:
    overview.on_health(health(HealthState.UNUSABLE, HealthCode.DARK))
    overview.on_health(health(HealthState.UNUSABLE, HealthCode.FROZEN))
    samples = metrics.snapshot()
    assert samples['lsm_camera_health{camera="bridge",code="DARK"}'] == 0
    assert samples['lsm_camera_health{camera="bridge",code="FROZEN"}'] == 1


def test_a_camera_that_is_not_watched_any_more_leaves_nothing_behind(
    overview: Overview, metrics: Metrics
) -> None:
    by_camera = [m for m in vars(metrics).values() if isinstance(m, MetricWrapperBase)]
    for metric in by_camera:
        names = metric._labelnames
        if "camera" in names:
            metric.labels(*(BRIDGE if name == "camera" else "x" for name in names))
    assert any("bridge" in name for name in metrics.snapshot())
    overview.watch({SCHOOL: 30.0}, NOW)
    overview.on_health(health(HealthState.USABLE))
    overview.on_states([water(WaterLevel.DRY, 0.0)])
    assert list(overview.cameras()) == [SCHOOL]
    assert not any("bridge" in name for name in metrics.snapshot())


def test_a_camera_that_stays_keeps_what_is_known_about_it(overview: Overview) -> None:
    overview.on_states([water(WaterLevel.PONDING, 0.1)])
    overview.watch({SCHOOL: 30.0, BRIDGE: 5.0}, NOW + timedelta(hours=1))
    bridge = overview.cameras()[BRIDGE]
    assert (bridge.interval_s, bridge.is_decided, bridge.observed_at) == (5.0, True, NOW)


def test_every_change_is_told_once_to_who_listens(overview: Overview) -> None:
    told: list[int] = []
    with overview.telling(lambda: told.append(len(overview.cameras()))):
        overview.on_health(health(HealthState.USABLE))
        overview.on_states([water(WaterLevel.DRY, 0.0)])
        assert told == [1, 1]
        overview.on_states([water(WaterLevel.DRY, 0.0)])  # a tick: nothing is new
        assert told == [1, 1]
    overview.on_states([water(WaterLevel.WET, 0.05)])
    assert told == [1, 1]
