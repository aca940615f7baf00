"""What MQTT 5 adds, how we fall back without it, and what a broker may do to us."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from lsm_monitor.errors import ConfigError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import WAIT_S, RealBroker, free_port, subscribed
from tests.integration.mosquitto import mosquitto, needs_mosquitto
from tests.integration.publishing import (
    ImpatientClock,
    open_outbox,
    publisher_for,
    record_story,
    running,
    wait_for_events,
)
from tests.integration.scripted_broker import (
    RECEIVE_MAXIMUM_1,
    TAKEN_OVER,
    V3,
    V5,
    Script,
    ScriptedBroker,
)
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_ID, EVENT_TOPIC, TOPICS

STATE_TOPIC = "lsm/v1/hz-west/camera/wensan-underpass/zone/lane-1/state"
ALL = 10_000


def test_an_event_says_what_it_is_and_a_state_how_long_it_holds(outbox: Outbox) -> None:
    told = record_story(outbox, [1])
    with ScriptedBroker(script=Script(acknowledges=(ALL,))) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto")
        publisher.retain(
            OutboundMessage(STATE_TOPIC, b'{"a":1}', qos=1, retain=True, expires_s=180.0)
        )
        with running(publisher):
            wait_for_events(broker.notes, told)
    assert broker.levels == [V5]
    json_text = {"ContentType": "application/json", "PayloadFormatIndicator": 1}
    assert broker.properties[EVENT_TOPIC] == {
        **json_text,
        "UserProperty": [("event_id", str(EVENT_ID))],
    }
    assert broker.properties[ACTIVE_TOPIC] == broker.properties[EVENT_TOPIC]
    assert broker.properties[STATE_TOPIC] == {**json_text, "MessageExpiryInterval": 180}
    assert broker.properties[TOPICS.status]["ContentType"] == "text/plain"


@pytest.mark.parametrize(
    "stranger",
    [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b"\x20\x02\x00\x05", b""],
    ids=["as 3.1.1 says", "as 5 says", "nonsense", "hang up"],
)
def test_a_broker_that_refuses_5_is_spoken_to_in_3_1_1(stranger: bytes, outbox: Outbox) -> None:
    told = record_story(outbox, [1])
    script = Script(speaks=(V3,), stranger=stranger, acknowledges=(ALL,))
    with (
        ScriptedBroker(script=script) as broker,
        running(publisher_for(outbox, port=broker.port, protocol="auto")),
    ):
        wait_for_events(broker.notes, told)
        assert broker.levels == [V5, V3]


def test_a_broker_that_misreads_5_is_spoken_to_in_3_1_1(outbox: Outbox) -> None:
    told = record_story(outbox, [1])
    with RealBroker() as broker:  # amqtt neither answers nor hangs up
        publisher = publisher_for(
            outbox, port=broker.port, protocol="auto", connect_timeout_s=0.5
        )
        with running(publisher):
            wait_for_events(broker.notes, told)


def test_a_broker_without_5_is_an_error_for_who_insists_on_it(outbox: Outbox) -> None:
    metrics, clock = Metrics(), ImpatientClock()
    with ScriptedBroker(script=Script(speaks=(V3,))) as broker:
        publisher = publisher_for(
            outbox, port=broker.port, protocol="5", metrics=metrics, clock=clock
        )
        with running(publisher):
            clock.wait_for_sleeps(1)
    assert set(broker.levels) == {V5}
    assert metrics.snapshot()['lsm_mqtt_connects_total{outcome="protocol"}'] >= 1


def test_a_slow_answer_is_waited_for(outbox: Outbox) -> None:
    answer_when = threading.Event()
    told = record_story(outbox, [1])
    script = Script(answer_when=answer_when, acknowledges=(ALL,))
    with (
        ScriptedBroker(script=script) as broker,
        running(publisher_for(outbox, port=broker.port, protocol="auto")),
    ):
        threading.Timer(0.5, answer_when.set).start()
        wait_for_events(broker.notes, told)
        assert broker.levels == [V5]


@pytest.mark.parametrize(
    ("connack", "reason"), [(134, "bad_credentials"), (137, "busy"), (138, "rejected")]
)
def test_a_refusal_is_named(connack: int, reason: str, outbox: Outbox) -> None:
    metrics, clock = Metrics(), ImpatientClock()
    with ScriptedBroker(script=Script(connack=connack)) as broker:
        publisher = publisher_for(
            outbox, port=broker.port, protocol="auto", metrics=metrics, clock=clock
        )
        with running(publisher):
            clock.wait_for_sleeps(1)
    assert metrics.snapshot()[f'lsm_mqtt_connects_total{{outcome="{reason}"}}'] >= 1


@pytest.mark.parametrize("flaw", [b"\x24\x00", b"\x25\x00"], ids=["no QoS 1", "no retain"])
def test_a_broker_that_cannot_keep_or_confirm_is_unfit(flaw: bytes, outbox: Outbox) -> None:
    metrics, clock = Metrics(), ImpatientClock()
    record_story(outbox, [1])
    with ScriptedBroker(script=Script(connack_properties=flaw)) as broker:
        publisher = publisher_for(
            outbox, port=broker.port, protocol="auto", metrics=metrics, clock=clock
        )
        with running(publisher):
            clock.wait_for_sleeps(1)
        assert broker.notes.all() == []
    assert metrics.snapshot()['lsm_mqtt_connects_total{outcome="unfit"}'] >= 1


@pytest.mark.parametrize(
    ("properties", "most"),
    [(RECEIVE_MAXIMUM_1, 1), (b"\x21\x00\x03", 3), (b"", 20)],
    ids=["1", "3", "as many as we like"],
)
def test_never_more_is_on_its_way_than_the_broker_allows(
    properties: bytes, most: int, outbox: Outbox
) -> None:
    told = record_story(outbox, range(1, 5 if most == 1 else 40))
    script = Script(acknowledges=(ALL,), when_quiet=True, connack_properties=properties)
    with ScriptedBroker(script=script) as broker:
        with running(publisher_for(outbox, port=broker.port, protocol="auto")):
            wait_for_events(broker.notes, told)
        assert max(broker.batches) == most


def test_a_takeover_ends_the_daemon_with_the_remedy(outbox: Outbox) -> None:
    script = Script(acknowledges=(ALL,), disconnect=lambda _: TAKEN_OVER)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto")
        with pytest.raises(ConfigError, match=r"'lsm-test'.*two daemons.*'mqtt.client_id'"):
            asyncio.run(asyncio.wait_for(publisher.run(), WAIT_S))


# From here on with mosquitto.


def told_to(port: int, topic: str) -> tuple[bytes, dict[str, object]]:
    """Return the payload and the properties that a new MQTT 5 subscriber is told."""
    heard: list[MQTTMessage] = []
    arrived = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        heard.append(message)
        arrived.set()

    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.subscribe(topic, qos=1)
    client.loop_start()
    try:
        assert arrived.wait(WAIT_S)
    finally:
        client.disconnect()
        client.loop_stop()
    properties = heard[0].properties
    assert properties is not None
    return bytes(heard[0].payload), properties.json()  # type: ignore[no-untyped-call]  # paho


@needs_mosquitto
def test_mosquitto_forgets_what_a_dead_daemon_believed(outbox: Outbox) -> None:
    port = free_port()
    with mosquitto(port):
        publisher = publisher_for(outbox, port=port, protocol="auto", heartbeat_s=3600)
        for topic, expires_s in ((STATE_TOPIC, 1.0), (ACTIVE_TOPIC, 3600.0)):
            publisher.retain(
                OutboundMessage(topic, b'{"a":1}', qos=1, retain=True, expires_s=expires_s)
            )
        with running(publisher):
            payload, properties = told_to(port, ACTIVE_TOPIC)
        assert payload == b'{"a":1}'
        assert properties["ContentType"] == "application/json"
        assert 3590 <= int(str(properties["MessageExpiryInterval"])) <= 3600

        def is_forgotten() -> bool:
            with subscribed(port, "lsm/#") as late:
                late.wait_for(TOPICS.status, b"offline")
                return late.on(STATE_TOPIC) == []

        tries = 0
        while not is_forgotten():
            tries += 1
            assert not threading.Event().wait(0.2)
            assert tries < 50


@needs_mosquitto
def test_two_daemons_with_one_client_id_are_named_where_the_broker_does_not(
    outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Mosquitto 2.0.11 hangs up on the older one without a word.
    port, clock = free_port(), ImpatientClock()
    other_outbox = open_outbox(tmp_path / "other")
    with (
        mosquitto(port),
        running(publisher_for(outbox, port=port, protocol="auto", clock=clock)),
        running(publisher_for(other_outbox, port=port, protocol="auto")),
    ):
        clock.wait_for_sleeps(5)
    other_outbox.close()
    blamed = [r for r in caplog.records if r.levelname == "ERROR"]
    assert "does another daemon use client id 'lsm-test'?" in blamed[0].getMessage()
