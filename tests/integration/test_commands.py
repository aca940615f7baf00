"""Commands over real brokers: heard on every connection, obeyed, answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.command_desk import CommandDesk
from lsm_monitor.publish.commands import Command, Known, Reload, SetEnabled, TakeSnapshot
from lsm_monitor.publish.inbox import Inbox
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import Acknowledgement, Feedback
from tests.integration.brokers import WAIT_S, Notes, RealBroker, free_port, subscribed
from tests.integration.mosquitto import mosquitto, needs_mosquitto
from tests.integration.publishing import publisher_for, retained, running
from tests.integration.scripted_broker import Script, ScriptedBroker
from tests.unit.publish.scenes import EVENT_ID, TOPICS, UNDERPASS

BASE = "lsm/v1/hz-west"
REPLY = f"{BASE}/cmd/reply"
ENABLED = f"{BASE}/camera/{UNDERPASS}/enabled"


@contextlib.contextmanager
def obeying(outbox: Outbox, port: int) -> Iterator[list[Command]]:
    """Run publisher and desk as the daemon does; yield the commands that were obeyed."""
    obeyed: list[Command] = []
    metrics, clock = Metrics(), SystemClock()
    inbox = Inbox(metrics.commands.labels("unread", "dropped").inc)
    publisher = publisher_for(
        outbox,
        metrics=metrics,
        port=port,
        protocol="auto",
        connect_timeout_s=1.0,
        inbox=inbox,
        topic_filters=TOPICS.command_filters,
    )

    async def obey(command: Command) -> str:
        obeyed.append(command)
        if isinstance(command, SetEnabled):
            publisher.retain(retained(f"{ENABLED}/state", b"ON" if command.enabled else b"OFF"))
        return f"obeyed {len(obeyed)}"

    desk = CommandDesk(
        site="hz-west",
        topics=TOPICS,
        inbox=inbox,
        known=lambda: Known(cameras=frozenset({UNDERPASS})),
        on_command=obey,
        reply=publisher.tell,
        metrics=metrics,
        clock=clock,
    )
    loop = LoopThread("desk")
    loop.start()

    async def start() -> asyncio.Task[None]:
        return asyncio.create_task(desk.run())

    async def stop(task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])

    try:
        task = loop.call(start(), timeout_s=WAIT_S)
        with running(publisher):
            yield obeyed
        loop.call(stop(task), timeout_s=WAIT_S)
    finally:
        loop.stop()


def send(
    port: int,
    topic: str,
    payload: bytes | str,
    *,
    retain: bool = False,
    correlation: bytes | None = None,
) -> None:
    """Publish as an operator's tool does, and wait for the broker to have it."""
    version = MQTTProtocolVersion.MQTTv311
    properties = None
    if correlation is not None:
        version = MQTTProtocolVersion.MQTTv5
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
        properties.CorrelationData = correlation
    client = Client(CallbackAPIVersion.VERSION2, client_id="operator", protocol=version)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        info = client.publish(topic, payload, 1, retain, properties)
        info.wait_for_publish(WAIT_S)
        assert info.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def replies(heard: Notes, count: int) -> list[dict[str, object]]:
    heard.wait_until(lambda messages: [m.topic for m in messages].count(REPLY) >= count)
    return [json.loads(payload) for payload in heard.on(REPLY)]


@contextlib.contextmanager
def daemon(outbox: Outbox, port: int) -> Iterator[tuple[list[Command], Notes]]:
    """Yield the obeyed commands and what is heard below ``BASE``, once it is all there."""
    with subscribed(port, f"{BASE}/#") as heard, obeying(outbox, port) as obeyed:
        # The subscription goes out before the birth, on the same connection.
        heard.wait_for(TOPICS.status, b"online")
        yield obeyed, heard


def test_a_command_is_obeyed_and_answered(port: int, outbox: Outbox) -> None:
    with daemon(outbox, port) as (obeyed, heard):
        send(port, f"{BASE}/cmd/reload", '{"correlation_id":"r-1"}')
        (reply,) = replies(heard, 1)
        assert (reply["outcome"], reply["detail"]) == ("done", "obeyed 1")
        assert (reply["command"], reply["correlation_id"]) == ("reload", "r-1")
        send(port, f"{ENABLED}/set", "OFF")
        heard.wait_for(f"{ENABLED}/state", b"OFF")
        send(port, f"{BASE}/event/{EVENT_ID}/feedback", '{"verdict":"shadow"}')
        assert replies(heard, 3)[2]["outcome"] == "done"
        send(port, f"{BASE}/event/{EVENT_ID}/acknowledge", '{"by":"li"}')
        assert replies(heard, 4)[3]["outcome"] == "done"
    assert obeyed[:2] == [Reload(), SetEnabled(UNDERPASS, enabled=False)]
    assert isinstance(obeyed[2], Feedback)
    assert isinstance(obeyed[3], Acknowledgement)
    with subscribed(port, f"{ENABLED}/+") as late:
        late.wait_for(f"{ENABLED}/state", b"OFF")


def test_a_retained_command_is_refused_on_every_connection_and_never_obeyed(
    port: int, outbox: Outbox
) -> None:
    send(port, f"{ENABLED}/set", "OFF", retain=True)
    for _ in range(2):
        with daemon(outbox, port) as (obeyed, heard):
            reply = replies(heard, 1)[0]
            assert reply["outcome"] == "refused"
            assert "without the retain flag" in str(reply["detail"])
        assert obeyed == []


def test_hostile_messages_disturb_nobody(port: int, outbox: Outbox) -> None:
    with daemon(outbox, port) as (obeyed, heard):
        for payload in (bytes(1_000_000), b"\xff" * 100, b"{" * 4000, b'{"value":null}'):
            send(port, f"{ENABLED}/set", payload)
            send(port, f"{BASE}/event/{'x' * 300}/feedback", payload)
            send(port, f"{BASE}/camera/../mode/set", payload)
        send(
            port, f"{BASE}/cmd/snapshot", f'{{"camera":"{UNDERPASS}","correlation_id":"last"}}'
        )
        heard.wait_until(
            lambda messages: any(
                m.topic == REPLY and b'"correlation_id":"last"' in m.payload for m in messages
            )
        )
        outcomes = [reply["outcome"] for reply in replies(heard, 1)]
    assert obeyed == [TakeSnapshot(UNDERPASS)]
    # A broker of MQTT 5 does not even hand on what exceeds our limit.
    assert len(outcomes) in {10, 13}
    assert outcomes == ["refused"] * (len(outcomes) - 1) + ["done"]


def test_commands_are_heard_again_after_the_broker_was_away(outbox: Outbox) -> None:
    broker = RealBroker()
    with broker, obeying(outbox, broker.port) as obeyed:
        for count in (1, 2):
            broker.notes.wait_until(
                lambda messages, count=count: (  # type: ignore[misc]
                    [m.payload for m in messages].count(b"online") >= count
                )
            )
            send(broker.port, f"{BASE}/cmd/reload", "")
            broker.notes.wait_until(
                lambda messages, count=count: (  # type: ignore[misc]
                    [m.topic for m in messages].count(REPLY) >= count
                )
            )
            broker.stop()
            broker.start()
    assert obeyed == [Reload()] * 2


@needs_mosquitto
def test_correlation_data_of_mqtt_5_is_answered(outbox: Outbox) -> None:
    port = free_port()
    with mosquitto(port), daemon(outbox, port) as (_, heard):
        send(port, f"{BASE}/cmd/reload", "", correlation=b"from-5")
        assert replies(heard, 1)[0]["correlation_id"] == "from-5"


@needs_mosquitto
def test_on_mqtt_5_a_retained_command_is_refused_when_it_is_sent_too(outbox: Outbox) -> None:
    port = free_port()
    with mosquitto(port), daemon(outbox, port) as (obeyed, heard):
        send(port, f"{ENABLED}/set", "OFF", retain=True)
        assert replies(heard, 1)[0]["outcome"] == "refused"
    assert obeyed == []


def test_a_broker_that_refuses_our_subscription_is_named_and_still_told_everything(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(suback=135, acknowledges=(1000,))
    with ScriptedBroker(script=script) as broker, obeying(outbox, broker.port):
        broker.notes.wait_until(lambda messages: any(m.topic == TOPICS.stats for m in messages))
    assert broker.notes.on(TOPICS.status)[0] == b"online"
    assert "the broker refuses a subscription" in caplog.text
