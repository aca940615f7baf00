"""A broker that misbehaves on purpose: it accepts a client and then does as it is told.

Only what the publisher sends is understood, MQTT 3.1.1: CONNECT, PUBLISH and DISCONNECT.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import WAIT_S, Notes

_CONNECT, _PUBLISH, _PINGREQ, _DISCONNECT = 1, 3, 12, 14


class ScriptedBroker:
    """Serves one connection after the other.

    Args:
        accepts: Whether CONNECT is answered.
        acknowledges: How many messages are acknowledged on each connection; the last number
            holds for all later connections.
    """

    def __init__(self, *, accepts: bool = True, acknowledges: tuple[int, ...] = (0,)) -> None:
        self.notes = Notes()
        self.hung_up = threading.Event()
        self._accepts = accepts
        self._acknowledges = acknowledges
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
                index = min(connections, len(self._acknowledges) - 1)
                connections += 1
                with client, contextlib.suppress(ConnectionError):
                    client.settimeout(0.1)
                    self._talk(client, self._acknowledges[index])
                self.hung_up.set()

    def _talk(self, client: socket.socket, acknowledges: int) -> None:
        while (packet := self._read_packet(client)) is not None:
            kind, flags, body = packet
            if kind == _CONNECT and self._accepts:
                client.sendall(b"\x20\x02\x00\x00")
            elif kind == _PINGREQ:
                client.sendall(b"\xd0\x00")
            elif kind == _DISCONNECT:
                return
            elif kind == _PUBLISH:
                message, packet_id = _parse_publish(flags, body)
                self.notes.add(message)
                if message.qos and acknowledges > 0:
                    acknowledges -= 1
                    client.sendall(b"\x40\x02" + packet_id)

    def _read_packet(self, client: socket.socket) -> tuple[int, int, bytes] | None:
        head = self._read(client, 1)
        if not head:
            return None
        length, shift = 0, 0
        while True:
            (octet,) = self._read(client, 1) or b"\0"
            length |= (octet & 0x7F) << shift
            shift += 7
            if not octet & 0x80:
                return head[0] >> 4, head[0] & 0x0F, self._read(client, length)

    def _read(self, client: socket.socket, count: int) -> bytes:
        """Return ``count`` bytes, or fewer when the client hung up or the test is over."""
        data = b""
        while len(data) < count and not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                part = client.recv(count - len(data))
                if not part:
                    break
                data += part
        return data


def _parse_publish(flags: int, body: bytes) -> tuple[OutboundMessage, bytes]:
    qos, topic_end = (flags >> 1) & 3, 2 + int.from_bytes(body[:2])
    payload_start = topic_end + (2 if qos else 0)
    topic, payload = body[2:topic_end].decode(), body[payload_start:]
    message = OutboundMessage(topic, payload, qos, retain=bool(flags & 1))
    return message, body[topic_end:payload_start]
