"""One connection to the broker, from CONNECT to the end; never a second life.

paho queues what it cannot send and resends it after a reconnect. Two queues would mean two
opinions about what is still to be sent, so here the outbox is the only one: paho's own
reconnect is off, and every connection has a new client, whose queue dies with it.

paho's threads never touch our state: each callback hops onto the event loop first. Third
parties' errors end here, as :class:`BrokerError`, and their texts with them.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.publish import broker_causes, broker_client
from lsm_monitor.publish.broker_terms import BrokerTerms, Receipt, properties_of
from lsm_monitor.publish.inbox import Ears, InboundMessage
from lsm_monitor.types import OutboundMessage

_CLOSE_TIMEOUT_S = 1.0


class BrokerConnection:
    """A connection that the broker has accepted; see :meth:`open`.

    Everything but the callbacks of paho belongs to the event loop it was opened on.

    Attributes:
        address: Host and port, free of credentials.
        terms: What the broker demands.
        cause: Why it ended, a key of ``broker_causes.CAUSES``; empty while it stands.
    """

    def __init__(
        self,
        config: MqttConfig,
        client: Client,
        on_end: Callable[[], None],
        ears: Ears | None,
    ) -> None:
        self.address = f"{config.host}:{config.port}"
        self.terms = BrokerTerms()
        self.cause = ""
        self._config = config
        self._client = client
        self._is_v5 = client.protocol == broker_client.MQTT_5
        self._is_there = False  # the network, TLS and the websocket stand
        self._on_end = on_end
        self._ears = ears
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._acks: dict[int, asyncio.Future[Receipt]] = {}
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe

    @classmethod
    async def open(
        cls,
        config: MqttConfig,
        *,
        client_id: str,
        last_will: OutboundMessage,
        on_end: Callable[[], None],
        protocol: MQTTProtocolVersion = broker_client.MQTT_3_1_1,
        ears: Ears | None = None,
    ) -> Self:
        """Return a connection that the broker has accepted.

        Args:
            config: Address, credentials and time-outs.
            client_id: Who we are; a broker closes the older of two connections.
            last_will: Published by the broker when we vanish.
            on_end: Called on the event loop when the connection ends, for any reason.
            protocol: MQTT 5 or 3.1.1.
            ears: What to listen to.

        Raises:
            BrokerError: There is no connection; ``reason`` is a key of
                ``broker_causes.CAUSES``.
        """
        client = broker_client.new_client(
            config, client_id=client_id, last_will=last_will, protocol=protocol
        )
        connection = cls(config, client, on_end, ears)
        # Not the loop's executor: it would keep the process from ending during a time-out.
        threading.Thread(target=connection._connect, name="mqtt-connect", daemon=True).start()
        try:
            await asyncio.wait([connection._answered], timeout=config.connect_timeout_s)
            if not connection._answered.done():
                connection._end("silent" if connection._is_there else "timeout")
            connection.raise_if_ended()
        except BaseException:
            # Cancelled, perhaps after the broker has accepted us: nobody would close it.
            connection._abandon()
            raise
        if ears is not None and ears.topic_filters:
            broker_client.subscribe(client, ears.topic_filters)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self.cause

    def publish(self, message: OutboundMessage) -> asyncio.Future[Receipt]:
        """Send ``message``; the result is what became of it, and never raises.

        For QoS 1 it has arrived with the broker's acknowledgement, for QoS 0 when it was
        written out. When the connection ends first, nobody knows.
        """
        receipt: asyncio.Future[Receipt] = self._loop.create_future()
        properties = properties_of(message) if self._is_v5 else None
        if not self.terms.allow(message, properties):
            receipt.set_result(Receipt(arrived=False, refused="too_large"))
            return receipt
        if not self.cause:
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain, properties
            )
            if info.rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._acks[info.mid] = receipt
                return receipt
        receipt.set_result(Receipt(arrived=False))
        return receipt

    def raise_if_ended(self) -> None:
        """Do nothing while the connection stands.

        Raises:
            BrokerError: It does not.
        """
        if self.cause:
            raise self._error()

    def give_up(self, cause: str = "timeout") -> None:
        """Take the connection for dead: the broker stays silent, or takes nothing."""
        self._end(cause)

    async def close(self) -> None:
        """Say goodbye, so that the last will is not published, and end."""
        self._client.disconnect()
        # Not asyncio.timeout(): in Python 3.11 it does not work in a task that is cancelled.
        await asyncio.wait([self._ended], timeout=_CLOSE_TIMEOUT_S)
        self._abandon()

    def _error(self) -> BrokerError:
        text = f"broker {self.address}: {broker_causes.CAUSES[self.cause]}"
        return BrokerError(text, self.cause)

    def _abandon(self) -> None:
        """Let go of the client: its thread ends by itself and takes the sockets with it."""
        self._end("closed")
        self._client.disconnect()
        # A client and its callbacks hold each other; left to the garbage collector, its
        # sockets would be closed at some later time.
        self._client.on_connect = None
        self._client.on_disconnect = None
        self._client.on_publish = None
        self._client.on_message = None
        self._client.on_subscribe = None

    # On the event loop, called from paho's threads through _hop.

    def _arrive(self) -> None:
        self._is_there = True
        # Nobody waits any more; an accepted connection would live on unseen.
        if self.cause:
            self._client.disconnect()

    def _accept(self, terms: BrokerTerms) -> None:
        self.terms = terms
        if not terms.is_fit:
            self._end("unfit")
        elif not self._answered.done():
            self._answered.set_result(None)

    def _acknowledge(self, mid: int, reason_code: int, *, is_failure: bool) -> None:
        receipt = self._acks.pop(mid, None)
        if receipt is None or receipt.done():
            return
        refused, doubted = broker_causes.of_puback(reason_code)
        receipt.set_result(Receipt(not is_failure, refused, doubted))
        if is_failure and not (refused or doubted):
            self._end("busy")

    def _end(self, cause: str) -> None:
        if self.cause:
            return
        self.cause = cause
        self._ended.set_result(None)
        if not self._answered.done():
            self._answered.set_result(None)
        for receipt in self._acks.values():
            if not receipt.done():
                receipt.set_result(Receipt(arrived=False))
        self._acks.clear()
        self._on_end()

    def _lose(self, reason_code: int) -> None:
        self._end(broker_causes.of_disconnect(reason_code, answered=self._answered.done()))

    # In paho's threads.

    def _connect(self) -> None:
        try:
            broker_client.connect(self._client, self._config)
        except (OSError, ValueError) as exc:
            self._hop(self._end, broker_causes.of_exception(exc))
            return
        self._client.loop_start()
        self._hop(self._arrive)

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason_code.is_failure:
            self._hop(self._end, broker_causes.of_connack(reason_code.value))
        else:
            self._hop(self._accept, BrokerTerms.of(properties))

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._hop(self._lose, reason_code.value)

    def _on_publish(
        self,
        client: Client,
        _userdata: object,
        mid: int,
        reason_code: ReasonCode,
        _properties: Properties,
    ) -> None:
        broker_client.hurry(client)
        acknowledge = functools.partial(self._acknowledge, is_failure=reason_code.is_failure)
        self._hop(acknowledge, mid, reason_code.value)

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: object,
        _mid: int,
        reason_codes: list[ReasonCode],
        _properties: Properties,
    ) -> None:
        if self._ears is not None and any(code.is_failure for code in reason_codes):
            self._hop(self._ears.on_deaf)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        if self._ears is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""  # no topic at all, so nothing we listen to
        correlation = getattr(message.properties, "CorrelationData", None)
        self._ears.on_message(
            InboundMessage(topic, bytes(message.payload), message.retain, correlation)
        )

    def _hop(self, callback: Callable[..., None], *arguments: str | int | BrokerTerms) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The event loop is closed: nobody is left to tell.
            self._client.disconnect()
