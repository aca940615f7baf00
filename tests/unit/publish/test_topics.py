from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import CameraId, ZoneId
from tests.unit.publish.scenes import EVENT_ID, LANE, TOPICS, UNDERPASS

BASE = "lsm/v1/hz-west"
CAMERA = f"{BASE}/camera/wensan-underpass"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (TOPICS.status, f"{BASE}/status"),
        (TOPICS.info, f"{BASE}/info"),
        (TOPICS.stats, f"{BASE}/stats"),
        (TOPICS.camera_availability(UNDERPASS), f"{CAMERA}/availability"),
        (TOPICS.camera_health(UNDERPASS), f"{CAMERA}/health"),
        (TOPICS.camera_state(UNDERPASS), f"{CAMERA}/state"),
        (TOPICS.camera_event(UNDERPASS), f"{CAMERA}/event"),
        (TOPICS.camera_snapshot(UNDERPASS), f"{CAMERA}/snapshot"),
        (TOPICS.camera_setting(UNDERPASS, "mode"), f"{CAMERA}/mode/state"),
        (TOPICS.context("rain-warning"), f"{BASE}/context/rain-warning/state"),
        (TOPICS.command_reply, f"{BASE}/cmd/reply"),
        (TOPICS.zone_state(UNDERPASS, LANE), f"{CAMERA}/zone/lane-1/state"),
        (TOPICS.zone_alert(UNDERPASS, LANE), f"{CAMERA}/zone/lane-1/alert"),
        (TOPICS.active_event(EVENT_ID), f"{BASE}/event/active/{EVENT_ID}"),
    ],
    ids=lambda value: value.rsplit("/", 1)[-1],
)
def test_topics_are_those_of_the_contract(topic: str, expected: str) -> None:
    assert topic == expected


def topic_with(name: str) -> str | None:
    """Return a topic with ``name`` in two places, or ``None`` when it is refused."""
    try:
        return TOPICS.zone_state(CameraId(name), ZoneId(name))
    except ValueError:
        return None


@given(name=st.text(alphabet="az09-_/+# A\n\0ü", max_size=8))
def test_no_name_adds_a_level_or_a_wildcard(name: str) -> None:
    topic = topic_with(name)
    assert topic is None or (
        topic.count("/") == 7 and set(topic) <= set("abcdefghijklmnopqrstuvwxyz0123456789-/")
    )


def test_a_name_that_cannot_be_in_a_topic_is_named_in_the_error() -> None:
    with pytest.raises(ValueError, match=r"'Nord/Tor' cannot be part of a topic"):
        TOPICS.camera_event(CameraId("Nord/Tor"))


@pytest.mark.parametrize("prefix", ["", "/lsm", "lsm/", "lsm//v1", "lsm/+", "LSM", "lsm/v1\n"])
def test_a_prefix_that_is_no_topic_is_an_error(prefix: str) -> None:
    with pytest.raises(ValueError, match="topic prefix"):
        Topics(prefix, "hz-west")
