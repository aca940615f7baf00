from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.publish.payloads import (
    Provenance,
    event_payload,
    health_payload,
    info_payload,
    rfc3339,
    state_payload,
    worst_state,
)
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    DepthInterval,
    EventKind,
    HealthCode,
    HealthState,
    ModelIdentity,
    NextLevel,
    PromisedEvidence,
    ReasonCode,
    WaterLevel,
    ZoneId,
)
from tests.unit.publish.scenes import (
    EVENT_ID,
    HEALTHY,
    OPENED_AT,
    PROVENANCE,
    RISING,
    UNDERPASS,
    after,
    event_of,
    state_of,
)

GOLDEN = Path(__file__).parents[2] / "golden"
DRY, WET, PONDING = WaterLevel.DRY, WaterLevel.WET, WaterLevel.PONDING
FLOODED, SEVERE, UNKNOWN = WaterLevel.FLOODED, WaterLevel.SEVERE, WaterLevel.UNKNOWN
SENT_AT = after(499.288)
OFFLINE = CameraHealth(
    UNDERPASS,
    HealthState.OFFLINE,
    (HealthCode.OPEN_TIMEOUT,),
    "no answer within 10 s",
    OPENED_AT,
    reconnects=3,
)


def event_bytes(kind: EventKind, level: WaterLevel, health: CameraHealth = HEALTHY) -> bytes:
    return event_payload(
        event_of(kind, level=level), health=health, provenance=PROVENANCE, sent_at=SENT_AT
    )


PAYLOADS = {
    "event_open": event_payload(
        event_of(EventKind.OPEN, seq=1, level=PONDING),
        health=HEALTHY,
        provenance=PROVENANCE,
        sent_at=SENT_AT,
    ),
    "event_update": event_payload(
        event_of(EventKind.UPDATE, level=FLOODED),
        health=HEALTHY,
        provenance=PROVENANCE,
        sent_at=SENT_AT,
        evidence=PromisedEvidence(f"{EVENT_ID}/2.jpg", f"{EVENT_ID}/2.mp4"),
    ),
    "event_stale": event_bytes(EventKind.STALE, UNKNOWN, OFFLINE),
    "event_resume": event_bytes(EventKind.RESUME, PONDING),
    "event_close": event_bytes(EventKind.CLOSE, DRY),
    "state_flooded": state_payload(state_of(), site="hz-west", sent_at=SENT_AT),
    "state_unknown": state_payload(
        replace(state_of(UNKNOWN, None, None), observed_at=None),
        site="hz-west",
        sent_at=SENT_AT,
    ),
    "health_usable": health_payload(HEALTHY, site="hz-west"),
    "health_offline": health_payload(OFFLINE, site="hz-west"),
    "info": info_payload(PROVENANCE, device="cuda:0", started_at=OPENED_AT, reason="start"),
}


def schema_of(name: str) -> dict[str, object]:
    folder = resources.files("lsm_monitor") / "schemas"
    schema: dict[str, object] = json.loads(
        (folder / f"{name}.schema.json").read_text(encoding="utf-8")
    )
    return schema


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_bytes_on_the_wire_are_those_of_the_golden_file(name: str) -> None:
    assert PAYLOADS[name] + b"\n" == (GOLDEN / f"{name}.json").read_bytes()


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} >= set(PAYLOADS)


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_payload_is_valid_and_has_every_key_of_its_schema(name: str) -> None:
    schema = schema_of(name.partition("_")[0])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
        json.loads(PAYLOADS[name])
    )
    assert list(json.loads(PAYLOADS[name])) == schema["required"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("level", "damp"), ("seq", 0), ("opened_at", "2026-07-18 05:55"), ("severity", 4)],
)
def test_the_schema_refuses_what_is_not_in_the_contract(key: str, value: object) -> None:
    event = json.loads(PAYLOADS["event_open"]) | {key: value}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema_of("event"))


@pytest.mark.parametrize(
    ("kind", "level", "status", "severity"),
    [
        (EventKind.OPEN, PONDING, "open", 1),
        (EventKind.UPDATE, FLOODED, "open", 2),
        (EventKind.UPDATE, SEVERE, "open", 3),
        (EventKind.STALE, UNKNOWN, "stale", 1),
        (EventKind.CLOSE, WET, "closed", 0),
        (EventKind.CLOSE, DRY, "closed", 0),
    ],
)
def test_an_event_says_how_things_stand_after_it(
    kind: EventKind, level: WaterLevel, status: str, severity: int
) -> None:
    event = json.loads(event_bytes(kind, level))
    assert (event["status"], event["severity"]) == (status, severity)


@pytest.mark.parametrize(
    ("confidence", "certainty"),
    [(0.8, "observed"), (0.7999, "likely"), (0.5, "likely"), (None, None)],
)
def test_certainty_follows_from_confidence(
    confidence: float | None, certainty: str | None
) -> None:
    state = state_of(confidence=confidence)
    payload = json.loads(state_payload(state, site="hz-west", sent_at=SENT_AT))
    assert (payload["confidence"], payload["certainty"]) == (confidence, certainty)


def test_cameras_that_vouch_for_each_other_are_certain_at_any_confidence() -> None:
    state = replace(state_of(confidence=0.6), is_corroborated=True)
    payload = json.loads(state_payload(state, site="hz-west", sent_at=SENT_AT))
    assert (payload["confidence"], payload["certainty"]) == (0.6, "observed")


def test_numbers_are_rounded_to_what_is_known_and_an_open_end_is_null() -> None:
    trend = replace(
        RISING,
        pp_per_min=-0.0001,
        cm_per_min=None,
        window_s=299.6,
        next_level=NextLevel(WET, 61.4, None),
    )
    depth = DepthInterval(60.0, None, "gauge:bollard")
    state = replace(state_of(), area_m2=12.3456, depth=depth, trend=trend)
    water = json.loads(state_payload(state, site="hz-west", sent_at=SENT_AT))["water"]
    assert (water["area_m2"], water["depth_cm"]) == (
        12.3,
        {"min": 60.0, "max": None, "source": "gauge:bollard"},
    )
    assert (water["rate_pp_per_min"], water["rate_cm_per_min"]) == (0.0, None)
    assert water["rate_window_s"] == 300
    assert water["next_level"] == {"level": "wet", "eta_s_min": 61, "eta_s_max": None}


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 7, 18, tzinfo=UTC), "2026-07-18T00:00:00.000Z"),
        (datetime(2026, 7, 18, 1, 2, 3, 999_999, tzinfo=UTC), "2026-07-18T01:02:03.999Z"),
        (
            datetime(2026, 7, 18, 8, tzinfo=timezone(timedelta(hours=8))),
            "2026-07-18T00:00:00.000Z",
        ),
    ],
    ids=["whole-second", "truncated", "other-zone"],
)
def test_times_are_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert rfc3339(moment) == text


def test_a_time_without_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        rfc3339(datetime(2026, 7, 18))  # noqa: DTZ001 - the mistake in question


def test_not_a_number_never_reaches_the_wire() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        state_payload(state_of(fraction=float("nan")), site="hz-west", sent_at=SENT_AT)


@given(detail=st.text(max_size=2000))
def test_payloads_stay_below_4_kb_with_the_longest_of_names(detail: str) -> None:
    name = "n" * 63
    state = replace(
        state_of(zone_id=ZoneId(name)),
        camera_id=CameraId(name),
        depth=DepthInterval(999.9, 999.9, f"gauge:{name},{name}"),
    )
    model = ModelIdentity(name, name, "f" * 64, name)
    payloads = [
        event_payload(
            replace(event_of(), state=state, reasons=tuple(ReasonCode)),
            health=replace(HEALTHY, codes=tuple(HealthCode)),
            provenance=Provenance(name, name, "f" * 64, model),
            sent_at=SENT_AT,
        ),
        health_payload(replace(OFFLINE, detail=detail, codes=tuple(HealthCode)), site=name),
    ]
    assert max(map(len, payloads)) <= 4096


@pytest.mark.parametrize(
    ("levels", "worst"),
    [
        ([DRY, WET, SEVERE, FLOODED], SEVERE),
        ([DRY, PONDING, WET], PONDING),
        ([UNKNOWN, WET, DRY], UNKNOWN),
        ([UNKNOWN, PONDING], PONDING),
        ([DRY], DRY),
    ],
)
def test_the_worst_zone_stands_for_the_camera(
    levels: list[WaterLevel], worst: WaterLevel
) -> None:
    assert worst_state([state_of(level) for level in levels]).level is worst


def test_of_two_zones_at_one_level_the_one_with_more_water_is_worse() -> None:
    less, more = state_of(fraction=0.3), state_of(fraction=0.4)
    assert worst_state([less, more, less]) is more
