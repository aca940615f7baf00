"""What the broker is told to keep of the cameras that there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lsm_monitor.config.models import DiscoveryConfig, MonitorConfig
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.commands import Known
from lsm_monitor.publish.homeassistant import HomeAssistant
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.announcer import Announcer
from lsm_monitor.runtime.live_settings import LiveSettings

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
TOPICS = Topics("lsm/v1", "west")
CONFIG = MonitorConfig.model_validate(
    {
        "version": 1,
        "site": "west",
        "mqtt": {"host": "h"},
        "cameras": {
            "bridge": {"url": "rtsp://h/1", "enabled": False},
            "quay": {"url": "rtsp://h/2", "title": "Old quay"},
        },
        "cap": {
            "sender": "flood@city.example",
            "areas": {"quay": {"description": "Harbour", "circle": [53.5, 9.9, 0.1]}},
        },
    }
)


@pytest.fixture
def told(tmp_path: Path) -> dict[str, bytes]:
    """Return what is retained, by topic."""
    told: dict[str, bytes] = {}
    publisher = SimpleNamespace(
        watch=lambda _: None, retain=lambda m: told.update({m.topic: m.payload})
    )
    settings = SimpleNamespace(
        config=CONFIG, contexts=frozenset(), known=Known, profile_of=lambda _: None
    )
    home_assistant = HomeAssistant(
        DiscoveryConfig(enabled=True), TOPICS, site="west", software="0.9.0", heartbeat_s=60.0
    )
    announcer = Announcer(
        publisher=cast("Publisher", publisher),
        announced=AnnouncedTopics.open(tmp_path / "announced.json", now=NOW),
        topics=TOPICS,
        home_assistant=home_assistant,
    )
    announcer.announce(cast("LiveSettings", settings))
    return told


def test_a_camera_that_is_off_since_the_start_is_not_available(told: dict[str, bytes]) -> None:
    availability = {t.split("/")[4]: p for t, p in told.items() if t.endswith("/availability")}
    assert availability == {"bridge": b"offline"}


def test_home_assistant_gets_a_camera_s_name_and_place_for_people(
    told: dict[str, bytes],
) -> None:
    devices = {
        name: json.loads(told[f"homeassistant/device/lsm_west_{name}/config"])["dev"]
        for name in ("bridge", "quay")
    }
    assert (devices["quay"]["name"], devices["quay"]["suggested_area"]) == (
        "Old quay",
        "Harbour",
    )
    assert devices["bridge"]["name"] == "bridge"
    assert "suggested_area" not in devices["bridge"]
