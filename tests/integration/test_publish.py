"""The publisher against brokers that come, go, stay silent and forget."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import WAIT_S, RealBroker
from tests.integration.publishing import (
    ImpatientClock,
    first_of_each,
    publisher_for,
    record_story,
    retained,
    running,
    wait_for_events,
)
from tests.integration.scripted_broker import Script, ScriptedBroker
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_TOPIC, TOPICS

STATE_TOPIC = "lsm/v1/hz-west/camera/wensan-underpass/zone/lane-1/state"


def test_events_arrive_in_order_and_the_outbox_is_empty_afterwards(outbox: Outbox) -> None:
    metrics = Metrics()
    with RealBroker() as broker, broker.subscriber("lsm/v1/hz-west/camera/+/event") as heard:
        publisher = publisher_for(outbox, port=broker.port, metrics=metrics)
        with running(publisher):
            told = record_story(outbox, range(1, 71))
            publisher.wake()
            wait_for_events(heard, told)
        assert first_of_each(heard.on(EVENT_TOPIC)) == told
        assert broker.notes.on(EVENT_TOPIC) == told
    assert outbox.count() == 0
    counted = metrics.snapshot()
    assert counted['lsm_mqtt_published_total{flow="event"}'] == 140
    assert counted['lsm_mqtt_connects_total{outcome="accepted"}'] == 1
    assert counted["lsm_outbox_messages"] == 0
    assert counted["lsm_mqtt_connected"] == 0


def test_what_was_recorded_before_the_broker_came_arrives_when_it_comes(outbox: Outbox) -> None:
    metrics, broker = Metrics(), RealBroker()
    publisher = publisher_for(outbox, port=broker.port, metrics=metrics)
    told = record_story(outbox, range(1, 11))
    with running(publisher):
        told += record_story(outbox, range(11, 21))
        publisher.wake()
        with broker:
            wait_for_events(broker.notes, told)
    assert broker.notes.on(EVENT_TOPIC) == told
    assert metrics.snapshot()['lsm_mqtt_connects_total{outcome="accepted"}'] == 1


def test_a_broker_that_restarts_in_the_middle_loses_nothing_and_keeps_the_order(
    outbox: Outbox,
) -> None:
    broker = RealBroker()
    publisher = publisher_for(outbox, port=broker.port)
    told = record_story(outbox, range(1, 101))
    with broker, running(publisher):
        for after in (20, 60):
            wait_for_events(broker.notes, told[:after])
            broker.stop()
            told += record_story(outbox, range(len(told) + 1, len(told) + 21))
            broker.start()
        publisher.wake()
        wait_for_events(broker.notes, told)
    assert first_of_each(broker.notes.on(EVENT_TOPIC)) == told
    assert outbox.count() == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_what_was_not_acknowledged_is_sent_again_byte_for_byte_and_the_rest_is_not(
    outbox: Outbox, protocol: str
) -> None:
    # Status, statistics and seven messages are acknowledged, then everything.
    with ScriptedBroker(acknowledges=(1 + 7, 10_000)) as broker:
        told = record_story(outbox, range(1, 7))
        publisher = publisher_for(
            outbox, port=broker.port, protocol=protocol, connect_timeout_s=0.5
        )
        with running(publisher):
            broker.notes.wait_until(
                lambda messages: [m.payload for m in messages].count(told[-1]) == 4
            )
        sent = [m for m in broker.notes.all() if m.topic in {EVENT_TOPIC, ACTIVE_TOPIC}]
    # Each event is told and kept: 12 messages, of which 7 were acknowledged the first time.
    assert [m.payload for m in sent[:12:2]] == told
    assert sent[12:] == sent[7:12]
    assert outbox.count() == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_connection_cut_between_a_message_and_its_acknowledgement_loses_nothing(
    outbox: Outbox, protocol: str
) -> None:
    told = record_story(outbox, range(1, 6))
    cut: list[bytes] = []

    def cuts(message: OutboundMessage) -> bool:
        """Cut at each event the first time it comes."""
        is_new = message.topic == EVENT_TOPIC and message.payload not in cut
        if is_new:
            cut.append(message.payload)
        return is_new

    with ScriptedBroker(script=Script(acknowledges=(10_000,), cuts=cuts)) as broker:
        with running(publisher_for(outbox, port=broker.port, protocol=protocol)):
            broker.notes.wait_for(ACTIVE_TOPIC, told[-1])
        assert cut == told
        heard = broker.notes.on(EVENT_TOPIC)
    assert first_of_each(heard) == told
    assert all(heard.count(payload) >= 2 for payload in told)
    assert outbox.count() == 0


def test_an_alert_is_out_before_what_a_broker_may_find_too_long(outbox: Outbox) -> None:
    told = record_story(outbox, [1])

    def cuts(message: OutboundMessage) -> bool:
        return message.topic == TOPICS.stats

    with (
        ScriptedBroker(script=Script(acknowledges=(10_000,), cuts=cuts)) as broker,
        running(publisher_for(outbox, port=broker.port, protocol="3.1.1")),
    ):
        wait_for_events(broker.notes, told)
        broker.notes.wait_for(ACTIVE_TOPIC, told[0])
        assert broker.hung_up.wait(WAIT_S)
    assert outbox.count() == 0


def test_an_alert_waits_for_one_picture_at_most(outbox: Outbox) -> None:
    told: list[bytes] = []

    def a_flood_begins_with_the_first_picture(message: OutboundMessage) -> bool:
        if message.payload == b"picture" and not told:
            told.extend(record_story(outbox, [1]))
        return False

    script = Script(acknowledges=(10_000,), cuts=a_flood_begins_with_the_first_picture)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port)
        for number in range(20):
            publisher.tell(retained(f"{STATE_TOPIC}/{number}", b"picture"))
        with running(publisher):
            broker.notes.wait_for(f"{STATE_TOPIC}/19", b"picture")
        payloads = [message.payload for message in broker.notes.all()]
    assert payloads[: payloads.index(told[0])].count(b"picture") == 1


def test_an_alert_does_not_wait_for_all_the_states_of_a_city(outbox: Outbox) -> None:
    told = record_story(outbox, [1])
    with ScriptedBroker(acknowledges=(10_000,)) as broker:
        publisher = publisher_for(outbox, port=broker.port)
        for number in range(2000):
            publisher.retain(retained(f"{STATE_TOPIC}/{number}", b"dry"))
        with running(publisher):
            wait_for_events(broker.notes, told)
            sent_before = [m.payload for m in broker.notes.all()].index(told[0])
            broker.notes.wait_for(f"{STATE_TOPIC}/1999", b"dry")
    # The birth and what left with it, and the statistics.
    assert sent_before <= 21


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_broker_that_acknowledges_nothing_is_left_and_tried_again(
    outbox: Outbox, protocol: str
) -> None:
    metrics = Metrics()
    told = record_story(outbox, [1])
    with ScriptedBroker(acknowledges=(0,)) as broker:
        publisher = publisher_for(
            outbox,
            port=broker.port,
            metrics=metrics,
            protocol=protocol,
            connect_timeout_s=0.2,
        )
        with running(publisher):
            status = TOPICS.status
            broker.notes.wait_until(
                lambda messages: [m.topic for m in messages].count(status) >= 3
            )
    assert outbox.count() == 2
    assert told[0] not in broker.notes.on(EVENT_TOPIC)
    assert metrics.snapshot()['lsm_mqtt_connects_total{outcome="accepted"}'] >= 2


def test_a_late_subscriber_sees_who_is_there_every_state_and_the_open_episodes(
    outbox: Outbox,
) -> None:
    told = record_story(outbox, range(1, 4))
    with RealBroker() as broker:
        publisher = publisher_for(outbox, port=broker.port)
        publisher.retain(retained(STATE_TOPIC, b"old"))
        publisher.retain(retained(STATE_TOPIC, b"new"))
        with running(publisher):
            wait_for_events(broker.notes, told)
            broker.notes.wait_for(ACTIVE_TOPIC, told[-1])
            with broker.subscriber("lsm/#") as late:
                for topic, payload in (
                    (TOPICS.status, b"online"),
                    (STATE_TOPIC, b"new"),
                    (ACTIVE_TOPIC, told[-1]),
                ):
                    late.wait_for(topic, payload)
                assert late.on(EVENT_TOPIC) == []
        assert broker.notes.all()[0] == retained(TOPICS.status, b"online")


def test_a_closed_episode_is_not_seen_by_a_late_subscriber(outbox: Outbox) -> None:
    told = record_story(outbox, range(1, 4), close=True)
    with RealBroker() as broker, running(publisher_for(outbox, port=broker.port)):
        broker.notes.wait_for(ACTIVE_TOPIC, b"")
        with broker.subscriber("lsm/#") as late:
            late.wait_for(TOPICS.status, b"online")
            assert late.on(ACTIVE_TOPIC) == []
        assert broker.notes.on(EVENT_TOPIC) == told


def test_a_broker_that_forgot_everything_is_told_again(outbox: Outbox) -> None:
    told = record_story(outbox, range(1, 4))
    with RealBroker() as broker:
        publisher = publisher_for(outbox, port=broker.port)
        publisher.retain(retained(STATE_TOPIC, b"state"))
        with running(publisher):
            wait_for_events(broker.notes, told)
            # Leaves after the batch has been acknowledged and deleted.
            publisher.retain(retained(STATE_TOPIC, b"changed"))
            broker.notes.wait_for(STATE_TOPIC, b"changed")
            broker.stop()  # amqtt keeps retained messages in memory only
            broker.start()
            broker.notes.wait_until(
                lambda messages: [m.payload for m in messages].count(b"online") == 2
            )
            broker.notes.wait_until(
                lambda messages: [m.topic for m in messages].count(ACTIVE_TOPIC) == 4
            )
            with broker.subscriber("lsm/#") as late:
                late.wait_for(STATE_TOPIC, b"changed")
                late.wait_for(ACTIVE_TOPIC, told[-1])
        assert broker.notes.on(EVENT_TOPIC) == told


def test_states_are_sent_when_they_change_and_repeated_with_the_heartbeat(
    outbox: Outbox,
) -> None:
    with RealBroker() as broker:
        publisher = publisher_for(outbox, port=broker.port, heartbeat_s=0.2)
        with running(publisher):
            publisher.retain(retained(STATE_TOPIC, b"1"))
            broker.notes.wait_for(STATE_TOPIC, b"1")
            publisher.retain(retained(STATE_TOPIC, b"2"))
            broker.notes.wait_until(
                lambda messages: [m.payload for m in messages].count(b"2") >= 3
            )
        assert broker.notes.on(TOPICS.status).count(b"online") >= 2


def test_an_unchanged_state_is_not_sent_before_the_heartbeat(outbox: Outbox) -> None:
    with RealBroker() as broker:
        publisher = publisher_for(outbox, port=broker.port)
        with running(publisher):
            for payload in (b"1", b"1", b"1", b"2"):
                publisher.retain(retained(STATE_TOPIC, payload))
                broker.notes.wait_for(STATE_TOPIC, payload)
        assert broker.notes.on(STATE_TOPIC) == [b"1", b"2"]


def test_statistics_are_published(outbox: Outbox) -> None:
    with RealBroker() as broker, running(publisher_for(outbox, port=broker.port)):
        broker.notes.wait_until(lambda messages: any(m.topic == TOPICS.stats for m in messages))
        stats = json.loads(broker.notes.on(TOPICS.stats)[0])
    assert stats["metrics"]["lsm_mqtt_connected"] == 1.0


def test_a_clean_stop_sends_what_is_there_and_says_offline_last(outbox: Outbox) -> None:
    with RealBroker() as broker, broker.subscriber("lsm/v1/hz-west/status") as heard:
        publisher = publisher_for(outbox, port=broker.port)
        with running(publisher):
            heard.wait_for(TOPICS.status, b"online")
            told = record_story(outbox, range(1, 31))  # and nobody is woken
        heard.wait_for(TOPICS.status, b"offline")
        assert broker.notes.on(EVENT_TOPIC) == told
        assert broker.notes.all()[-1] == retained(TOPICS.status, b"offline")
    assert outbox.count() == 0


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"host": "no-such-host.invalid"}, "dns", id="host"),
        pytest.param({"port": 1}, "refused", id="port"),
        pytest.param(
            {"username": "lsm", "password": "wr0ng"}, "bad_credentials", id="password"
        ),
    ],
)
def test_what_is_wrong_is_reported_once_counted_always_and_leaks_nothing(
    outbox: Outbox,
    settings: dict[str, Any],  # any keys of the section mqtt
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lsm_monitor")
    metrics, clock = Metrics(), ImpatientClock()
    record_story(outbox, [1])
    with RealBroker(user=("lsm", "right")) as broker:
        values = {"port": broker.port, **settings}
        publisher = publisher_for(outbox, metrics=metrics, clock=clock, **values)
        with running(publisher):
            clock.wait_for_sleeps(3)
    counted = metrics.snapshot()
    assert counted[f'lsm_mqtt_connects_total{{outcome="{reason}"}}'] >= 3
    assert counted["lsm_outbox_messages"] == outbox.count() == 2
    ours = [r for r in caplog.records if r.name.startswith("lsm_monitor.publish")]
    assert len([r for r in ours if r.levelno == logging.WARNING]) == 1
    assert "wr0ng" not in "".join(r.getMessage() for r in ours)
