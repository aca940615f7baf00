from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lsm_monitor.types import CameraHealth, EventKind, HealthState, WaterLevel
from tests.unit.publish.scenes import (
    ACTIVE_TOPIC,
    EVENT_TOPIC,
    HEALTHY,
    LANE,
    MESSAGES,
    OPENED_AT,
    TOPICS,
    UNDERPASS,
    after,
    event_of,
    messages_of,
    state_of,
)


@pytest.mark.parametrize(
    ("level", "alert"),
    [
        (WaterLevel.DRY, b"OFF"),
        (WaterLevel.WET, b"OFF"),
        (WaterLevel.PONDING, b"ON"),
        (WaterLevel.FLOODED, b"ON"),
        (WaterLevel.SEVERE, b"ON"),
    ],
)
def test_the_alert_is_on_from_ponding_on(level: WaterLevel, alert: bytes) -> None:
    state, flat = MESSAGES.zone_state(state_of(level), after(1.0))
    assert (state.topic, flat.topic) == (
        TOPICS.zone_state(UNDERPASS, LANE),
        TOPICS.zone_alert(UNDERPASS, LANE),
    )
    assert flat.payload == alert
    assert (flat.qos, flat.retain) == (state.qos, state.retain) == (1, True)


def test_blindness_changes_no_alert() -> None:
    (state,) = MESSAGES.zone_state(state_of(WaterLevel.UNKNOWN, None, None), after(1.0))
    assert state.topic == TOPICS.zone_state(UNDERPASS, LANE)


def test_an_event_is_told_once_and_its_copy_stays_while_the_episode_is_open() -> None:
    told, kept = messages_of(event_of(EventKind.OPEN, seq=1))
    assert (told.topic, told.qos, told.retain) == (EVENT_TOPIC, 1, False)
    assert (kept.topic, kept.qos, kept.retain) == (ACTIVE_TOPIC, 1, True)
    assert kept.payload == told.payload


def test_the_last_event_removes_the_copy() -> None:
    told, kept = messages_of(event_of(EventKind.CLOSE, level=WaterLevel.DRY))
    assert json.loads(told.payload)["status"] == "closed"
    assert (kept.topic, kept.payload, kept.retain) == (ACTIVE_TOPIC, b"", True)


def test_the_camera_state_is_that_of_its_worst_zone() -> None:
    states = [state_of(WaterLevel.DRY), state_of(WaterLevel.SEVERE), state_of(WaterLevel.WET)]
    message = MESSAGES.camera_state(states, after(1.0))
    assert message.topic == TOPICS.camera_state(UNDERPASS)
    assert json.loads(message.payload)["level"] == "severe"


@pytest.mark.parametrize(
    ("state", "availability"),
    [
        (HealthState.USABLE, b"online"),
        (HealthState.STARTING, b"offline"),
        (HealthState.UNUSABLE, b"offline"),
        (HealthState.OFFLINE, b"offline"),
    ],
)
def test_a_camera_is_available_while_decisions_can_be_made(
    state: HealthState, availability: bytes
) -> None:
    health: CameraHealth = replace(HEALTHY, state=state)
    details, flat = MESSAGES.health(health)
    assert details.topic == TOPICS.camera_health(UNDERPASS)
    assert json.loads(details.payload)["state"] == state.value
    assert (flat.topic, flat.payload) == (TOPICS.camera_availability(UNDERPASS), availability)
    assert details.retain
    assert flat.retain


def test_birth_and_last_will_share_a_topic() -> None:
    birth, last_will = MESSAGES.status(online=True), MESSAGES.status(online=False)
    assert birth.topic == last_will.topic == TOPICS.status
    assert (birth.payload, last_will.payload) == (b"online", b"offline")
    assert (last_will.qos, last_will.retain) == (1, True)


def test_statistics_are_neither_retained_nor_acknowledged() -> None:
    stats = MESSAGES.stats(b"{}")
    assert (stats.topic, stats.qos, stats.retain) == (TOPICS.stats, 0, False)


def test_info_is_retained() -> None:
    info = MESSAGES.info(device="cpu", started_at=OPENED_AT, reason="start")
    assert (info.topic, info.retain) == (TOPICS.info, True)
    assert json.loads(info.payload)["reason"] == "start"
