from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

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
            "quay": {"url": "rtsp://h/2"},
        },
    }
)


def test_a_camera_that_is_off_since_the_start_is_not_available(tmp_path: Path) -> None:
    told: dict[str, bytes] = {}
    publisher = SimpleNamespace(
        watch=lambda _: None, retain=lambda m: told.update({m.topic: m.payload})
    )
    settings = SimpleNamespace(
        config=CONFIG, contexts=frozenset(), known=Known, profile_of=lambda _: None
    )
    home_assistant = HomeAssistant(
        DiscoveryConfig(), TOPICS, site="west", software="0.9.0", heartbeat_s=60.0
    )
    announcer = Announcer(
        publisher=cast("Publisher", publisher),
        announced=AnnouncedTopics.open(tmp_path / "announced.json", now=NOW),
        topics=TOPICS,
        home_assistant=home_assistant,
    )
    announcer.announce(cast("LiveSettings", settings))
    availability = {t.split("/")[4]: p for t, p in told.items() if t.endswith("/availability")}
    assert availability == {"bridge": b"offline"}
