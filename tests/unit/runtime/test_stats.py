"""The payload of the topic ``stats``, which is also the answer of ``/api/stats``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import jsonschema

import lsm_monitor
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http_app import Status
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthCode,
    HealthState,
    ModelIdentity,
    WaterLevel,
    WaterState,
    ZoneId,
)
from tests.fakes import FakeClock

GOLDEN = Path(__file__).parents[2] / "golden" / "stats.json"
SENT_AT = datetime(2026, 7, 18, 6, 3, 21, 402_000, tzinfo=UTC)
SINCE = datetime(2026, 7, 18, 5, 55, 2, 114_000, tzinfo=UTC)
CAMERA = CameraId("wensan-underpass")


class Noon(FakeClock):
    def now(self) -> datetime:
        return SENT_AT


def status() -> Status:
    metrics, clock = Metrics(), Noon()
    overview = Overview(metrics)
    overview.watch({CAMERA: 10.0}, SINCE)
    overview.on_states(
        [WaterState(CAMERA, ZoneId("lane-1"), WaterLevel.FLOODED, 0.31, 0.9, SINCE, SENT_AT)]
    )
    codes = (HealthCode.OPEN_TIMEOUT,)
    overview.on_health(
        CameraHealth(CAMERA, HealthState.OFFLINE, codes, "no answer within 10 s", SINCE, 3)
    )
    return Status(
        site="hz-west",
        model=lambda: ModelIdentity("lsm-uw", "1.4.0", "5f" * 32, "tensorrt-fp16"),
        started_at=SINCE,
        overview=overview,
        metrics=metrics,
        standing_still=list,
        connections=Connections(metrics=metrics, clock=clock),
        is_durable=lambda: True,
        clock=clock,
    )


def test_the_statistics_are_those_of_the_golden_file() -> None:
    """But for the counters, of which it has one, and the version."""
    stats = json.loads(status().stats_json())
    assert stats["version"] == lsm_monitor.__version__
    shown = stats | {"version": "0.9.0", "metrics": {"lsm_mqtt_connected": 1.0}}
    golden = json.loads(GOLDEN.read_bytes())
    assert shown == golden
    assert list(shown) == list(golden)


def test_the_statistics_are_what_their_schema_allows_and_have_every_key_of_it() -> None:
    of = status()
    of.metrics.events.labels(CAMERA, "open", "flooded").inc()
    stats = json.loads(of.stats_json())
    text = (resources.files("lsm_monitor") / "schemas" / "stats.schema.json").read_text()
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(stats, schema)
    assert list(stats) == schema["required"]
    of_cameras = schema["properties"]["cameras"]["additionalProperties"]
    assert list(stats["cameras"][CAMERA]) == of_cameras["required"]


def test_a_camera_that_was_switched_off_and_on_does_not_end_the_statistics() -> None:
    """Its counters begin at zero again, below what they were within the last hour."""
    of = status()
    of.metrics.reconnects.labels(CAMERA, "STALLED").inc(3)
    of.connections.sample()
    of.overview.watch({}, SENT_AT)
    of.overview.watch({CAMERA: 10.0}, SENT_AT)
    of.connections.sample()
    camera = json.loads(of.stats_json())["cameras"][CAMERA]
    assert (camera["reconnects_last_hour"], camera["stalls_last_hour"]) == (0, 0)
