"""A hostile broker: whatever it sends, the connection ends or stands, and nothing dies."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.publish.broker_client import MQTT_3_1_1, MQTT_5
from lsm_monitor.publish.inbox import Ears
from lsm_monitor.publish.mqtt import BrokerConnection
from lsm_monitor.types import OutboundMessage
from tests.fuzz.harness import BrokenPromiseError, Target

_LAST_WILL = OutboundMessage("lsm/status", b"offline", qos=1, retain=True)
_HELLO = OutboundMessage("lsm/hello", b"hello", qos=1, retain=False)
_ACCEPTED = b"\x20\x03\x00\x00\x00"  # MQTT 5; 3.1.1 is one byte shorter
_SEEDS = (
    _ACCEPTED + b"\x40\x02\x00\x01",
    b"\x20\x06\x00\x00\x03\x21\x00\x14" + b"\x30\x0b\x00\x03a/b\x00hello",
    _ACCEPTED + b"\x32\x0c\x00\x03a/b\x00\x07\x00hi!!" + b"\xe0\x02\x8e\x00",
    _ACCEPTED + b"\x90\x04\x00\x01\x00\x01" + b"\x40\x04\x00\x02\x99\x00",
    b"\x20\x02\x00\x00" + b"\x40\x02\x00\x01" + b"\x30\x08\x00\x03a/bhey",
    b"\x20\x02\x00\x00" + b"\x34\x08\x00\x03a/b\x00\x07x" + b"\x62\x02\x00\x07\xd0\x00",
    b"\x20\x02\x00\x05",
)


class _HostileBroker:
    """Answers every CONNECT with ``answer`` and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="hostile-broker")
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the server is shut down
            while True:
                client, _ = self._server.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(2.0)
                    client.recv(4096)
                    client.sendall(self.answer)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass


async def _talk(port: int, *, is_v5: bool) -> None:
    """Connect, publish one message, and be done with it in time, whatever comes back."""
    config = MqttConfig(host="127.0.0.1", port=port, connect_timeout_s=5.0)
    with contextlib.suppress(BrokerError):
        connection = await BrokerConnection.open(
            config,
            client_id="lsm-test",
            last_will=_LAST_WILL,
            on_end=lambda: None,
            protocol=MQTT_5 if is_v5 else MQTT_3_1_1,
            ears=Ears(("a/b",), lambda _: None, lambda: None),
        )
        receipt = connection.publish(_HELLO)
        done, _ = await asyncio.wait([receipt], timeout=5.0)
        await connection.close()
        if not done:
            msg = "the broker hung up, and nobody noticed"
            raise BrokenPromiseError(msg)


@contextmanager
def broker_target() -> Iterator[Target]:
    """What a broker sends after CONNECT; an even length is read as MQTT 5."""
    broker, died = _HostileBroker(), list[str]()
    hook_before = threading.excepthook
    threading.excepthook = lambda args: died.append(repr(args.exc_value))

    def run(data: bytes) -> None:
        broker.answer = data
        asyncio.run(_talk(broker.port, is_v5=len(data) % 2 == 0))
        if died:
            raise BrokenPromiseError(died.pop())

    try:
        yield Target("broker", _SEEDS, run, (), (_ACCEPTED, b"\x20\x02\x00\x00", b"\xe0\x02"))
    finally:
        threading.excepthook = hook_before
        broker.close()
