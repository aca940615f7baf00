"""A real MQTT broker for the tests: amqtt in a thread of its own, on a loopback port.

It keeps its port over restarts, as a broker in the field does, and notes every PUBLISH as
it arrives, before it is acknowledged: what a client was told is safe is in the notes.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from amqtt.broker import BrokerContext
from amqtt.contexts import BaseContext
from amqtt.mqtt.packet import MQTTPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin
from amqtt.session import Session
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from lsm_monitor.demo.broker import MortalBroker
from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.types import OutboundMessage

WAIT_S = 30.0


class Notes:
    """Messages in the order they came. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[OutboundMessage] = []

    def add(self, message: OutboundMessage) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def all(self) -> list[OutboundMessage]:
        with self._changed:
            return list(self._messages)

    def on(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.all() if message.topic == topic]

    def wait_until(
        self, holds: Callable[[list[OutboundMessage]], bool], timeout_s: float = WAIT_S
    ) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self._messages), timeout_s):
                seen = [(message.topic, message.payload[:40]) for message in self._messages]
                msg = f"did not come within {timeout_s:g} s; came: {seen}"
                raise AssertionError(msg)

    def wait_for(self, topic: str, payload: bytes) -> None:
        self.wait_until(
            lambda messages: any((m.topic, m.payload) == (topic, payload) for m in messages)
        )


class NotePublishes(BasePlugin[BrokerContext]):  # type: ignore[misc]  # amqtt is untyped
    """Notes every PUBLISH that the broker reads."""

    @dataclass
    class Config:
        notes: Notes

    async def on_mqtt_packet_received(
        self, *, packet: MQTTPacket[Any, Any, Any], session: Session | None = None
    ) -> None:
        del session
        if isinstance(packet, PublishPacket):
            payload = bytes(packet.data or b"")
            self.config.notes.add(
                OutboundMessage(
                    packet.topic_name, payload, packet.qos or 0, bool(packet.retain_flag)
                )
            )


class OneUser(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets one user in."""

    @dataclass
    class Config:
        username: str
        password: str

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)

    async def authenticate(self, *, session: Session) -> bool:
        return (session.username, session.password) == (
            self.config.username,
            self.config.password,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealBroker:
    """A broker that can be stopped and started again; a context manager that starts it.

    Args:
        user: Name and password of the only user; ``None`` lets anyone in.
        certificate: Certificate and key file; encrypts when given.
        websockets: MQTT over websockets.
    """

    def __init__(
        self,
        *,
        user: tuple[str, str] | None = None,
        certificate: tuple[Path, Path] | None = None,
        websockets: bool = False,
    ) -> None:
        self.port = free_port()
        self.notes = Notes()
        kind = "ws" if websockets else "tcp"
        listener: dict[str, object] = {"type": kind, "bind": f"127.0.0.1:{self.port}"}
        if certificate is not None:
            certfile, keyfile = certificate
            listener |= {"ssl": True, "certfile": certfile, "keyfile": keyfile}
        authentication: dict[str, object] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
        }
        if user is not None:
            username, password = user
            authentication = {
                f"{__name__}.OneUser": {"username": username, "password": password}
            }
        self._config = {
            "listeners": {"default": listener},
            "plugins": {**authentication, f"{__name__}.NotePublishes": {"notes": self.notes}},
        }
        self._thread: LoopThread | None = None
        self._broker: MortalBroker | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread = LoopThread("test-broker")
        self._thread.start()
        self._thread.call(self._start(), timeout_s=WAIT_S)

    def stop(self) -> None:
        """Close every connection; without effect when it does not run."""
        if self._thread is None or self._broker is None:
            return
        self._thread.call(self._broker.shutdown(), timeout_s=WAIT_S)
        self._thread.stop()
        self._thread = self._broker = None

    async def _start(self) -> None:
        self._broker = MortalBroker(self._config)
        await self._broker.start()

    def subscriber(self, topics: str) -> contextlib.AbstractContextManager[Notes]:
        """Yield what a new subscriber of ``topics`` is told; see :func:`subscribed`."""
        return subscribed(self.port, topics)


@contextlib.contextmanager
def subscribed(port: int, topics: str) -> Iterator[Notes]:
    """Yield what a new subscriber of ``topics`` is told, retained messages first."""
    notes, confirmed = Notes(), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"subscriber-{uuid4()}")

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        payload = bytes(message.payload)
        notes.add(OutboundMessage(message.topic, payload, message.qos, message.retain))

    client.on_message = on_message
    client.on_subscribe = lambda *_: confirmed.set()
    client.connect("127.0.0.1", port)
    client.subscribe(topics, qos=1)
    client.loop_start()
    try:
        assert confirmed.wait(WAIT_S)
        yield notes
    finally:
        client.disconnect()
        client.loop_stop()
