"""A broker that misbehaves on purpose: it accepts a client and then does as it is told.

Only what the publisher sends is understood, MQTT 3.1.1 and 5: CONNECT, SUBSCRIBE, PUBLISH,
PINGREQ and DISCONNECT.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import WAIT_S, Notes

_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14
V3, V5 = 4, 5
_QUIET_S = 0.1
TOO_LARGE, TAKEN_OVER = 149, 142
RECEIVE_MAXIMUM_1 = b"\x21\x00\x01"


@dataclass(frozen=True)
class Script:
    """What the broker does.

    Attributes:
        accepts: Whether CONNECT is answered at all.
        answer_when: Set when CONNECT may be answered; ``None``: at once.
        speaks: Protocol levels it knows.
        stranger: What a CONNECT of another level gets; empty: it is hung up on.
        connack: Reason code of CONNACK.
        connack_properties: MQTT 5 properties of CONNACK.
        acknowledges: How many messages are acknowledged on each connection; the last number
            holds for all later connections.
        when_quiet: Acknowledge only when the client has nothing more to send.
        suback: Reason code of every SUBACK.
        puback: Reason code of a message's PUBACK on MQTT 5.
        cuts: Whether the connection is cut between a message and its acknowledgement.
        disconnect: Reason code with which a message ends an MQTT 5 connection, or ``None``.
    """

    accepts: bool = True
    answer_when: threading.Event | None = None
    speaks: tuple[int, ...] = (V3, V5)
    stranger: bytes = b"\x20\x02\x00\x01"
    connack: int = 0
    connack_properties: bytes = b""
    acknowledges: tuple[int, ...] = (0,)
    when_quiet: bool = False
    suback: int = 1
    puback: Callable[[OutboundMessage], int] = lambda _: 0
    cuts: Callable[[OutboundMessage], bool] = lambda _: False
    disconnect: Callable[[OutboundMessage], int | None] = lambda _: None


class ScriptedBroker:
    """Serves one connection after the other.

    Attributes:
        notes: Messages as they came.
        properties: What MQTT 5 said with each, by topic; the newest counts.
        levels: Protocol level of each CONNECT.
        batches: How many messages came between two acknowledgements, with ``when_quiet``.
        hung_up: Set when a connection has ended.
    """

    def __init__(
        self,
        *,
        accepts: bool = True,
        acknowledges: tuple[int, ...] = (0,),
        script: Script | None = None,
    ) -> None:
        self.notes = Notes()
        self.properties: dict[str, dict[str, object]] = {}
        self.levels: list[int] = []
        self.batches: list[int] = []
        self.hung_up = threading.Event()
        self._script = script or Script(accepts=accepts, acknowledges=acknowledges)
        self._stop = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="scripted-broker")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(WAIT_S)
        self._server.close()

    def _serve(self) -> None:
        connections = 0
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._server.accept()
                index = min(connections, len(self._script.acknowledges) - 1)
                connections += 1
                with client, contextlib.suppress(ConnectionError):
                    client.settimeout(_QUIET_S)
                    _Talk(self, self._script, client, self._script.acknowledges[index]).run()
                self.hung_up.set()

    @property
    def is_over(self) -> bool:
        return self._stop.is_set()


class _Talk:
    """One connection."""

    def __init__(
        self, broker: ScriptedBroker, script: Script, client: socket.socket, acknowledges: int
    ) -> None:
        self._broker = broker
        self._script = script
        self._client = client
        self._left = acknowledges
        self._level = V3
        self._unacknowledged: list[bytes] = []

    def run(self) -> None:
        while (packet := self._read_packet()) is not None:
            kind, flags, body = packet
            if kind == _CONNECT:
                if not self._greet(body):
                    return
            elif kind == _PINGREQ:
                self._client.sendall(b"\xd0\x00")
            elif kind == _SUBSCRIBE:
                self._confirm(body)
            elif kind == _DISCONNECT or (kind == _PUBLISH and not self._take(flags, body)):
                return

    def _greet(self, body: bytes) -> bool:
        self._level = body[6]
        self._broker.levels.append(self._level)
        if self._script.answer_when is not None:
            assert self._script.answer_when.wait(WAIT_S)
        if self._level not in self._script.speaks:
            self._client.sendall(self._script.stranger)
            return False
        if self._script.accepts:
            answer = bytes([0, self._script.connack])
            if self._level == V5:
                given = self._script.connack_properties
                answer += bytes([len(given)]) + given
            self._client.sendall(bytes([0x20, len(answer)]) + answer)
        return True

    def _confirm(self, body: bytes) -> None:
        """Answer a SUBSCRIBE as if it had one topic filter: paho reads no more of it."""
        answer = body[:2] + (b"\0" if self._level == V5 else b"") + bytes([self._script.suback])
        self._client.sendall(bytes([0x90, len(answer)]) + answer)

    def _take(self, flags: int, body: bytes) -> bool:
        message, packet_id = self._parse_publish(flags, body)
        self._broker.notes.add(message)
        if self._script.cuts(message):
            return False
        end = self._script.disconnect(message)
        if end is not None:
            self._client.sendall(bytes([0xE0, 2, end, 0]))
            self._client.shutdown(socket.SHUT_WR)
            while self._read(4096):
                pass  # closed with unread bytes, the kernel would throw our last words away
            return False
        if message.qos and self._left > 0:
            self._left -= 1
            code = self._script.puback(message)
            answer = packet_id + (bytes([code, 0]) if self._level == V5 and code else b"")
            puback = bytes([0x40, len(answer)]) + answer
            if self._script.when_quiet:
                self._unacknowledged.append(puback)
            else:
                self._client.sendall(puback)
        return True

    def _on_quiet(self) -> None:
        if self._unacknowledged:
            self._broker.batches.append(len(self._unacknowledged))
            self._client.sendall(b"".join(self._unacknowledged))
            self._unacknowledged.clear()

    def _read_packet(self) -> tuple[int, int, bytes] | None:
        head = self._read(1)
        if not head:
            return None
        length, shift = 0, 0
        while True:
            (octet,) = self._read(1) or b"\0"
            length |= (octet & 0x7F) << shift
            shift += 7
            if not octet & 0x80:
                return head[0] >> 4, head[0] & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        """Return ``count`` bytes, or fewer when the client hung up or the test is over."""
        data = b""
        while len(data) < count and not self._broker.is_over:
            try:
                part = self._client.recv(count - len(data))
            except TimeoutError:
                self._on_quiet()
                continue
            if not part:
                break
            data += part
        return data

    def _parse_publish(self, flags: int, body: bytes) -> tuple[OutboundMessage, bytes]:
        qos, topic_end = (flags >> 1) & 3, 2 + int.from_bytes(body[:2])
        payload_start = topic_end + (2 if qos else 0)
        topic, packet_id = body[2:topic_end].decode(), body[topic_end:payload_start]
        if self._level == V5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
            _, length = properties.unpack(body[payload_start:])  # type: ignore[no-untyped-call]  # paho
            payload_start += length
            self._broker.properties[topic] = properties.json()  # type: ignore[no-untyped-call]  # paho
        message = OutboundMessage(topic, body[payload_start:], qos, retain=bool(flags & 1))
        return message, packet_id
