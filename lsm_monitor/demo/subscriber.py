"""An ordinary MQTT subscriber: what a city's own system would be to the daemon."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from lsm_monitor.errors import BrokerError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 10.0


class Subscriber:
    """Hands every message below a prefix to a callback; also a context manager.

    Nothing is filtered: retained messages come first, and a broker may deliver one twice.

    Args:
        host: Name or address of the broker.
        port: Port of the broker.
        prefix: Topics begin with it; ``<prefix>/#`` is subscribed to.
        on_message: Takes topic and payload, in a thread of the subscriber's; must not raise.
        client_id: Must differ from every other client's of the broker.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        prefix: str,
        on_message: Callable[[str, bytes], None],
        client_id: str = "lsm-subscriber",
    ) -> None:
        self._address = (host, port)
        self._filter = f"{prefix}/#"
        self._on_message = on_message
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self._client.on_message = self._take
        # Subscribing on every connect, because the broker forgets us when we lose it.
        self._client.on_connect = lambda client, *_: client.subscribe(self._filter, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()

    def start(self) -> None:
        """Subscribe; returns once the broker has confirmed, so that nothing is missed.

        Raises:
            BrokerError: The broker did not answer within 10 s.
        """
        host, port = self._address
        try:
            self._client.connect(host, port)
        except OSError as exc:
            msg = f"cannot reach the broker at {host}:{port} ({type(exc).__name__})"
            raise BrokerError(msg) from exc
        self._client.loop_start()
        if not self._subscribed.wait(_TIMEOUT_S):
            self.stop()
            msg = f"the broker at {host}:{port} did not confirm within {_TIMEOUT_S:g} s"
            raise BrokerError(msg)

    def stop(self) -> None:
        """Disconnect and end the thread; idempotent."""
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _take(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload))
