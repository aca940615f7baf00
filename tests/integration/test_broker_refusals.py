"""Messages that a broker will not take: each finds its end, and none holds up the others."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import free_port, subscribed
from tests.integration.mosquitto import mosquitto, needs_mosquitto
from tests.integration.publishing import (
    ImpatientClock,
    publisher_for,
    record_story,
    retained,
    running,
)
from tests.integration.scripted_broker import TOO_LARGE, Script, ScriptedBroker
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_TOPIC, TOPICS

STATE_TOPIC = "lsm/v1/hz-west/camera/wensan-underpass/zone/lane-1/state"
ALL = 10_000


def dead_letters(outbox: Outbox) -> int:
    with contextlib.closing(sqlite3.connect(outbox._path)) as file:
        ((count,),) = file.execute("SELECT count(*) FROM dead")
        return int(count)


def test_a_message_the_broker_never_takes_goes_to_the_dead_letters_and_holds_up_nobody(
    outbox: Outbox,
) -> None:
    told = record_story(outbox, [1, 2, 3])
    metrics = Metrics()

    def refuse(message: OutboundMessage) -> int:
        return 153 if message.payload == told[1] and message.topic == EVENT_TOPIC else 0

    script = Script(acknowledges=(ALL,), puback=refuse)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto", metrics=metrics)
        with running(publisher):
            broker.notes.wait_for(ACTIVE_TOPIC, told[2])
    assert broker.notes.on(EVENT_TOPIC) == told
    assert (outbox.count(), dead_letters(outbox)) == (0, 1)
    refused = 'lsm_mqtt_refused_total{flow="event",reason="payload_invalid"}'
    assert metrics.snapshot()[refused] == 1


def test_a_broker_that_is_over_its_quota_gets_the_message_again(outbox: Outbox) -> None:
    told = record_story(outbox, [1])
    codes = iter([151, *[0] * ALL])

    def refuse_once(message: OutboundMessage) -> int:
        return next(codes) if message.topic == EVENT_TOPIC else 0

    script = Script(acknowledges=(ALL,), puback=refuse_once)
    with (
        ScriptedBroker(script=script) as broker,
        running(publisher_for(outbox, port=broker.port, protocol="auto")),
    ):
        broker.notes.wait_until(
            lambda messages: (
                [m.topic for m in messages if m.topic == EVENT_TOPIC] == [EVENT_TOPIC] * 2
            )
        )
    assert broker.notes.on(EVENT_TOPIC) == told * 2
    assert (outbox.count(), dead_letters(outbox)) == (0, 0)


@pytest.mark.parametrize(("takes_others", "dead"), [(True, 2), (False, 0)])
def test_a_vague_refusal_is_the_message_s_fault_only_if_others_are_taken(
    takes_others: bool,  # noqa: FBT001
    dead: int,
    outbox: Outbox,
) -> None:
    record_story(outbox, [1])
    clock = ImpatientClock()
    seen: list[str] = []

    def refuse(message: OutboundMessage) -> int:
        seen.append(message.topic)
        is_first_birth = seen.count(TOPICS.status) == 1
        return 0 if message.topic == TOPICS.status and (takes_others or is_first_birth) else 131

    script = Script(acknowledges=(ALL,), puback=refuse)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto", clock=clock)
        publisher.retain(retained(STATE_TOPIC, b"marker"))
        with running(publisher):
            if not takes_others:
                clock.wait_for_sleeps(1)
            broker.notes.wait_for(STATE_TOPIC, b"marker")
    assert (outbox.count(), dead_letters(outbox)) == (2 - dead, dead)


def test_a_message_for_which_the_broker_hangs_up_is_found_and_set_aside(
    outbox: Outbox,
) -> None:
    told = record_story(outbox, [1, 2, 3])

    def disconnect(message: OutboundMessage) -> int | None:
        is_it = message.payload == told[1] and message.topic == EVENT_TOPIC
        return TOO_LARGE if is_it else None

    script = Script(acknowledges=(ALL,), disconnect=disconnect)
    with (
        ScriptedBroker(script=script) as broker,
        running(publisher_for(outbox, port=broker.port, protocol="auto")),
    ):
        broker.notes.wait_for(ACTIVE_TOPIC, told[2])
    assert broker.notes.on(EVENT_TOPIC).count(told[1]) == 2
    assert (outbox.count(), dead_letters(outbox)) == (0, 1)


def test_a_state_for_which_the_broker_hangs_up_is_dropped_until_it_changes(
    outbox: Outbox,
) -> None:
    def disconnect(message: OutboundMessage) -> int | None:
        return TOO_LARGE if len(message.payload) > 1000 and message.retain else None

    script = Script(acknowledges=(ALL,), disconnect=disconnect)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto")
        publisher.retain(retained(STATE_TOPIC, bytes(2000)))
        publisher.retain(retained(ACTIVE_TOPIC, b"beside"))
        with running(publisher):
            broker.notes.wait_for(ACTIVE_TOPIC, b"beside")
            broker.notes.wait_until(
                lambda messages: any(m.topic == TOPICS.stats for m in messages)
            )
            publisher.retain(retained(STATE_TOPIC, b"small"))
            broker.notes.wait_for(STATE_TOPIC, b"small")
    assert broker.notes.on(STATE_TOPIC).count(bytes(2000)) == 2


def test_a_state_that_the_broker_forbids_is_sent_again_with_everything_that_is_repeated(
    outbox: Outbox,
) -> None:
    is_forbidden = threading.Event()
    is_forbidden.set()

    def forbid(message: OutboundMessage) -> int:
        return 135 if message.topic == STATE_TOPIC and is_forbidden.is_set() else 0

    script = Script(acknowledges=(ALL,), puback=forbid)
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto")
        publisher.retain(retained(STATE_TOPIC, b"offline"))
        with running(publisher):
            # Sent last: by then the refusal is known.
            publisher.tell(OutboundMessage("first", b"told", qos=1, retain=False))
            broker.notes.wait_for("first", b"told")
            is_forbidden.clear()  # somebody has mended the access list
            publisher.repeat("lsm/")
            publisher.tell(OutboundMessage("second", b"told", qos=1, retain=False))
            broker.notes.wait_for("second", b"told")
    assert broker.notes.on(STATE_TOPIC) == [b"offline"] * 2


def test_what_exceeds_the_limit_that_the_broker_names_is_not_even_sent(outbox: Outbox) -> None:
    metrics = Metrics()
    record_story(outbox, [1])
    script = Script(acknowledges=(ALL,), connack_properties=b"\x27\x00\x00\x02\x00")  # 512
    with ScriptedBroker(script=script) as broker:
        publisher = publisher_for(outbox, port=broker.port, protocol="auto", metrics=metrics)
        publisher.retain(retained(STATE_TOPIC, b"small"))
        with running(publisher):
            broker.notes.wait_for(STATE_TOPIC, b"small")
    assert broker.notes.on(EVENT_TOPIC) == broker.notes.on(ACTIVE_TOPIC) == []
    assert (outbox.count(), dead_letters(outbox)) == (0, 2)
    refused = 'lsm_mqtt_refused_total{flow="event",reason="too_large"}'
    assert metrics.snapshot()[refused] == 2


@needs_mosquitto
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param("max_packet_size 512", "too_large", id="announced"),
        # Its PUBACK has a reason code that MQTT 5 does not allow there, and paho hangs up.
        pytest.param("message_size_limit 400", "offended", id="found out"),
    ],
)
def test_mosquitto_with_a_limit_gets_what_it_takes(
    settings: str, reason: str, outbox: Outbox, tmp_path: Path
) -> None:
    port, metrics = free_port(), Metrics()
    record_story(outbox, [1])
    with mosquitto(port, tmp_path, settings):
        publisher = publisher_for(outbox, port=port, protocol="auto", metrics=metrics)
        # What is told once is told when the outbox is empty.
        publisher.tell(OutboundMessage("last", b"small", qos=1, retain=False))
        with subscribed(port, "last") as heard, running(publisher):
            heard.wait_for("last", b"small")
    assert (outbox.count(), dead_letters(outbox)) == (0, 2)
    assert metrics.snapshot()[f'lsm_mqtt_refused_total{{flow="event",reason="{reason}"}}'] == 2


@needs_mosquitto
def test_mosquitto_that_forbids_an_event_leaves_it_among_the_dead_letters(
    outbox: Outbox, tmp_path: Path
) -> None:
    port = free_port()
    told = record_story(outbox, [1])
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite {TOPICS.status}\ntopic readwrite {ACTIVE_TOPIC}\n")
    with (
        mosquitto(port, tmp_path, f"acl_file {rules}"),
        subscribed(port, ACTIVE_TOPIC) as heard,
        running(publisher_for(outbox, port=port, protocol="auto")),
    ):
        heard.wait_for(ACTIVE_TOPIC, told[0])
    assert (outbox.count(), dead_letters(outbox)) == (0, 1)
