"""What Home Assistant is told: the bytes, its rules, and what its templates make of ours."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import jsonschema
import pytest

from lsm_monitor.config.models import DiscoveryConfig
from lsm_monitor.publish.homeassistant import HomeAssistant
from lsm_monitor.publish.known import KnownCamera, KnownZone, retained_topics
from lsm_monitor.types import ZoneId
from tests.unit.publish.scenes import LANE, TOPICS, UNDERPASS
from tests.unit.publish.test_payloads import GOLDEN, schema_of

FULL = ZoneId("full")
CAMERA = KnownCamera(
    UNDERPASS,
    (KnownZone(LANE, has_depth=True),),
    name="Wensan underpass",
    area="Wensan Rd",
)
BASE = "lsm/v1/hz-west"


def discovery(*, enabled: bool = True) -> HomeAssistant:
    return HomeAssistant(
        DiscoveryConfig(enabled=enabled),
        TOPICS,
        site="hz-west",
        software="0.9.0",
        heartbeat_s=60.0,
    )


def told(
    *cameras: KnownCamera, announced: frozenset[str] = frozenset()
) -> dict[str, dict[str, Any]]:  # JSON of many shapes
    """Return what is told about each device, checked against the schema."""
    schema = jsonschema.Draft202012Validator(schema_of("homeassistant_device"))
    devices = {}
    for message in discovery().messages(cameras, announced):
        assert (message.qos, message.retain) == (1, True)
        prefix, device_id, last = message.topic.rsplit("/", 2)
        assert (prefix, last) == ("homeassistant/device", "config")
        devices[device_id] = json.loads(message.payload)
        schema.validate(devices[device_id])
    return devices


@pytest.mark.parametrize("name", ["site", "camera"])
def test_the_bytes_on_the_wire_are_those_of_the_golden_file(name: str) -> None:
    site, camera = discovery().messages([CAMERA], frozenset())
    payload = {"site": site, "camera": camera}[name].payload
    assert payload + b"\n" == (GOLDEN / f"homeassistant_{name}.json").read_bytes()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of("homeassistant_device"))


def test_nothing_is_told_unless_it_is_wanted() -> None:
    assert discovery(enabled=False).messages([CAMERA], frozenset()) == ()
    assert discovery(enabled=False).birth_topic is None
    assert discovery().birth_topic == "homeassistant/status"


def test_every_entity_of_every_device_has_an_id_of_its_own() -> None:
    zones = (KnownZone(FULL), KnownZone(LANE))
    devices = told(CAMERA, KnownCamera(type(UNDERPASS)("bridge"), zones))
    ids = [c["unique_id"] for device in devices.values() for c in device["cmps"].values()]
    assert len(ids) == 1 + (4 + 6) + (4 + 12) == len(set(ids))


def test_every_topic_is_one_that_we_publish() -> None:
    devices = told(CAMERA)
    published = {*retained_topics(TOPICS, [CAMERA]), TOPICS.camera_event(UNDERPASS)}
    for device in devices.values():
        for component in [device, *device["cmps"].values()]:
            named = {v for k, v in component.items() if k.endswith("_topic")}
            named |= {entry["topic"] for entry in component.get("availability", [])}
            assert named <= published


def test_a_camera_s_problem_is_shown_while_the_camera_is_down() -> None:
    device = told(CAMERA)["lsm_hz-west_wensan-underpass"]
    camera_availability = {"topic": f"{BASE}/camera/wensan-underpass/availability"}
    assert camera_availability in device["availability"]
    for name in ("problem", "tamper"):
        assert device["cmps"][name]["availability"] == [{"topic": f"{BASE}/status"}]


def test_a_zone_that_is_gone_is_named_once_more_and_then_no_longer() -> None:
    before = retained_topics(
        TOPICS, [KnownCamera(UNDERPASS, (KnownZone(LANE), KnownZone(FULL)))]
    )
    components = told(CAMERA, announced=before)["lsm_hz-west_wensan-underpass"]["cmps"]
    assert {name: c for name, c in components.items() if name.startswith("full_")} == {
        "full_water": {"p": "binary_sensor"},
        "full_unsafe": {"p": "binary_sensor"},
        "full_level": {"p": "sensor"},
        "full_fraction": {"p": "sensor"},
        "full_depth": {"p": "sensor"},
        "full_trend": {"p": "sensor"},
    }
    after = told(CAMERA, announced=retained_topics(TOPICS, [CAMERA]))
    assert "full_water" not in after["lsm_hz-west_wensan-underpass"]["cmps"]


def shown(component: str, golden: str, **changes: object) -> str:
    """Return what Home Assistant shows for a payload: it renders with Jinja, too."""
    template = told(CAMERA)["lsm_hz-west_wensan-underpass"]["cmps"][component]["value_template"]
    value = json.loads((GOLDEN / f"{golden}.json").read_bytes())
    for key, change in changes.items():
        value[key] = {**value[key], **change} if isinstance(change, dict) else change
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    return environment.from_string(template).render(value_json=value)


@pytest.mark.parametrize(
    ("component", "golden", "changes", "expected"),
    [
        ("lane-1_unsafe", "state_flooded", {}, "OFF"),
        ("lane-1_unsafe", "state_flooded", {"severity": 3}, "ON"),
        ("lane-1_unsafe", "state_unknown", {}, "None"),
        ("lane-1_level", "state_flooded", {}, "flooded"),
        ("lane-1_level", "state_unknown", {}, "None"),
        ("lane-1_fraction", "state_flooded", {}, "31.0"),
        ("lane-1_fraction", "state_unknown", {}, "None"),
        ("lane-1_depth", "state_flooded", {"water": {"depth_cm": None}}, "None"),
        (
            "lane-1_depth",
            "state_flooded",
            {"water": {"depth_cm": {"min": 15, "max": 25}}},
            "25",
        ),
        (  # above the highest mark: at least so deep
            "lane-1_depth",
            "state_flooded",
            {"water": {"depth_cm": {"min": 60, "max": None}}},
            "60",
        ),
        ("lane-1_trend", "state_flooded", {"water": {"trend": "rising"}}, "rising"),
        ("lane-1_trend", "state_flooded", {"water": {"trend": None}}, "None"),
        ("problem", "health_usable", {}, "OFF"),
        ("problem", "health_offline", {}, "ON"),
        ("problem", "health_usable", {"state": "starting"}, "None"),
        ("tamper", "health_usable", {}, "OFF"),
        ("tamper", "health_offline", {"codes": ["DARK", "CAMERA_MOVED"]}, "ON"),
    ],
)
def test_home_assistant_shows_what_is_meant(
    component: str, golden: str, changes: dict[str, object], expected: str
) -> None:
    assert shown(component, golden, **changes) == expected
