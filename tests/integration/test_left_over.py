"""A camera or zone that is gone leaves nothing behind at the broker, whoever restarts when."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

from lsm_monitor.config.models import DiscoveryConfig
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.homeassistant import HomeAssistant
from lsm_monitor.publish.known import KnownCamera, KnownZone, retained_topics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.types import CameraId, OutboundMessage, ZoneId
from tests.integration.brokers import RealBroker, free_port, subscribed
from tests.integration.publishing import publisher_for, retained, running
from tests.unit.publish.scenes import TOPICS

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
BRIDGE = KnownCamera(CameraId("bridge"), (KnownZone(ZoneId("full")),))
TUNNEL = KnownCamera(
    CameraId("tunnel"), (KnownZone(ZoneId("lane-1")), KnownZone(ZoneId("lane-2")))
)
NARROW_TUNNEL = KnownCamera(CameraId("tunnel"), (KnownZone(ZoneId("lane-1")),))
DEVICE = "homeassistant/device/lsm_hz-west"


def publisher_of(
    outbox: Outbox,
    port: int,
    folder: Path,
    *cameras: KnownCamera,
    discovery: bool = False,
) -> Publisher:
    """Return a publisher as the daemon makes it: it knows what there is, and says it all."""
    announced = AnnouncedTopics.open(folder / "announced.json", now=NOW)
    publisher = publisher_for(
        outbox, port=port, protocol="auto", connect_timeout_s=1.0, announced=announced
    )
    home_assistant = HomeAssistant(
        DiscoveryConfig(enabled=discovery),
        TOPICS,
        site="hz-west",
        software="0.9.0",
        heartbeat_s=60.0,
    )
    descriptions = home_assistant.messages(cameras, announced.topics)
    states = retained_topics(TOPICS, cameras) - {TOPICS.status}
    publisher.watch({TOPICS.status, *states, *(m.topic for m in descriptions)})
    for description in descriptions:
        publisher.retain(description)
    for topic in sorted(states):
        publisher.retain(retained(topic, b"something"))
    return publisher


def kept_at(port: int, folder: Path) -> set[str]:
    """Return the topics on which the broker keeps something, once it has all there is."""
    announced = AnnouncedTopics.open(folder / "announced.json", now=NOW).topics
    with subscribed(port, "#") as late:
        late.wait_until(lambda messages: {m.topic for m in messages} >= announced)
        return {message.topic for message in late.all() if not message.topic.startswith("$")}


def run_until_told(publisher: Publisher, port: int) -> None:
    """Run ``publisher`` until the broker has everything that was on its board."""
    with subscribed(port, TOPICS.command_reply) as heard, running(publisher):
        # Sent after the board.
        publisher.tell(OutboundMessage(TOPICS.command_reply, b"told", qos=1, retain=False))
        heard.wait_for(TOPICS.command_reply, b"told")


def test_a_camera_and_a_zone_that_are_gone_are_forgotten_by_the_broker(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    run_until_told(publisher_of(outbox, port, tmp_path, BRIDGE, TUNNEL), port)
    assert kept_at(port, tmp_path) == retained_topics(TOPICS, [BRIDGE, TUNNEL])
    run_until_told(publisher_of(outbox, port, tmp_path, NARROW_TUNNEL), port)
    assert kept_at(port, tmp_path) == retained_topics(TOPICS, [NARROW_TUNNEL])
    announced = AnnouncedTopics.open(tmp_path / "announced.json", now=NOW)
    assert announced.topics == retained_topics(TOPICS, [NARROW_TUNNEL])


def test_a_picture_of_a_camera_that_is_switched_off_is_heard_once_and_not_kept(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    switched_off = dataclasses.replace(TUNNEL, enabled=False)
    publisher = publisher_of(outbox, port, tmp_path, BRIDGE, switched_off)
    pictures = {camera: TOPICS.camera_snapshot(camera.camera_id) for camera in (BRIDGE, TUNNEL)}
    with subscribed(port, TOPICS.camera_snapshot(TUNNEL.camera_id)) as heard:
        for topic in pictures.values():
            publisher.tell(retained(topic, b"jpeg"))
        run_until_told(publisher, port)
        heard.wait_for(pictures[TUNNEL], b"jpeg")
    kept = kept_at(port, tmp_path)
    assert pictures[BRIDGE] in kept
    assert pictures[TUNNEL] not in kept


def test_a_camera_that_goes_while_the_daemon_runs_stays_gone_though_it_still_speaks(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    publisher = publisher_of(outbox, port, tmp_path, BRIDGE, TUNNEL)
    state = TOPICS.camera_state(BRIDGE.camera_id)
    with subscribed(port, state) as heard, running(publisher):
        heard.wait_for(state, b"something")
        publisher.watch(retained_topics(TOPICS, [TUNNEL]))
        heard.wait_for(state, b"")
        publisher.retain(retained(state, b"a late word"))
        publisher.watch(retained_topics(TOPICS, [BRIDGE, TUNNEL]))
        publisher.retain(retained(state, b"back again"))
        heard.wait_for(state, b"back again")
        assert b"a late word" not in heard.on(state)


def test_what_went_while_the_broker_was_away_is_removed_when_it_is_back(
    outbox: Outbox, tmp_path: Path
) -> None:
    with RealBroker() as broker:
        run_until_told(publisher_of(outbox, broker.port, tmp_path, BRIDGE), broker.port)
        # Two starts that never reach a broker.
        for cameras in ([TUNNEL], [NARROW_TUNNEL]):
            publisher_of(outbox, free_port(), tmp_path, *cameras)
        run_until_told(publisher_of(outbox, broker.port, tmp_path, NARROW_TUNNEL), broker.port)
        assert kept_at(broker.port, tmp_path) == retained_topics(TOPICS, [NARROW_TUNNEL])


def test_a_camera_that_is_switched_off_keeps_only_that_it_is(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    run_until_told(publisher_of(outbox, port, tmp_path, BRIDGE), port)
    off = KnownCamera(BRIDGE.camera_id, BRIDGE.zones, enabled=False)
    run_until_told(publisher_of(outbox, port, tmp_path, off), port)
    below = {topic.rpartition("camera/bridge/")[2] for topic in kept_at(port, tmp_path)}
    assert below >= {"availability", "enabled/state", "mode/state", "profile/state"}
    assert not below & {"state", "health", "snapshot", "zone/full/state", "zone/full/alert"}


def test_home_assistant_forgets_what_is_gone_and_everything_when_it_is_switched_off(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    def devices() -> set[str]:
        return {topic for topic in kept_at(port, tmp_path) if topic.startswith("homeassist")}

    for cameras, expected in (
        ([BRIDGE, TUNNEL], {"", "_bridge", "_tunnel"}),
        ([TUNNEL], {"", "_tunnel"}),
    ):
        publisher = publisher_of(outbox, port, tmp_path, *cameras, discovery=True)
        run_until_told(publisher, port)
        assert devices() == {f"{DEVICE}{suffix}/config" for suffix in expected}
    run_until_told(publisher_of(outbox, port, tmp_path, TUNNEL), port)
    assert devices() == set()


def test_home_assistant_is_told_again_when_it_asks(
    port: int, outbox: Outbox, tmp_path: Path
) -> None:
    publisher = publisher_of(outbox, port, tmp_path, BRIDGE, discovery=True)
    with subscribed(port, "#") as heard, running(publisher):
        config = f"{DEVICE}_bridge/config"
        heard.wait_until(lambda messages: any(m.topic == config for m in messages))
        publisher.repeat("homeassistant/device/")
        heard.wait_until(lambda messages: [m.topic for m in messages].count(config) == 2)
        assert len(heard.on(TOPICS.info)) == 1
