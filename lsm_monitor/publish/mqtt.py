"""One connection to the broker, from CONNECT to the end; never a second life.

paho queues what it cannot send and resends it after a reconnect. Two queues would mean two
opinions about what is still to be sent, so here the outbox is the only one: paho's own
reconnect is off, and every connection has a new client, whose queue dies with it.

paho's threads never touch our state: each callback hops onto the event loop first. Third
parties' errors end here, as :class:`BrokerError`, and their texts with them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.errors import BrokerError
from lsm_monitor.types import OutboundMessage

MAX_IN_FLIGHT = 20
"""Messages without an acknowledgement at any time; many brokers hold back what exceeds it."""
_CLOSE_TIMEOUT_S = 1.0
_KEEPALIVE_MAX_S = 65535  # 16 bits in the protocol

_CAUSES = {
    "dns": "its name cannot be resolved; check 'mqtt.host' and the name server",
    "refused": "connection refused; check that it runs and that 'mqtt.port' is right",
    "timeout": "no answer in time; check 'mqtt.host', 'mqtt.tls' and the firewall",
    "unreachable": "cannot be reached; check the network and 'mqtt.host'",
    "tls": "TLS failed; check 'mqtt.tls', 'mqtt.port', 'mqtt.ca_file' and its certificate",
    "bad_credentials": "user or password refused; check 'mqtt.username' and 'mqtt.password'",
    "rejected": "this client is refused; the broker's log says why",
    "closed": "connection closed; is 'mqtt.client_id' used twice, or the broker restarting?",
}
# The reason codes into which paho translates CONNACK's return codes and its own errors.
_BAD_CREDENTIALS = frozenset({134, 135})
_KEEPALIVE_TIMEOUT = 141


class BrokerConnection:
    """A connection that the broker has accepted; see :meth:`open`.

    Everything but the callbacks of paho belongs to the event loop it was opened on.

    Attributes:
        address: Host and port, free of credentials.
    """

    def __init__(self, config: MqttConfig, client: Client, on_end: Callable[[], None]) -> None:
        # Whoever writes user:password@host is told about the host only.
        self.address = f"{config.host.rpartition('@')[2]}:{config.port}"
        self._config = config
        self._client = client
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._cause = ""
        self._acks: dict[int, asyncio.Future[bool]] = {}
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish

    @classmethod
    async def open(
        cls,
        config: MqttConfig,
        *,
        client_id: str,
        last_will: OutboundMessage,
        on_end: Callable[[], None],
    ) -> Self:
        """Return a connection that the broker has accepted.

        Args:
            config: Address, credentials and time-outs.
            client_id: Who we are; a broker closes the older of two connections.
            last_will: Published by the broker when we vanish.
            on_end: Called on the event loop when the connection ends, for any reason.

        Raises:
            BrokerError: There is no connection; ``reason`` is a key of the table above.
        """
        connection = cls(config, _new_client(config, client_id, last_will), on_end)
        # Not the loop's executor: it would keep the process from ending during a time-out.
        threading.Thread(target=connection._connect, name="mqtt-connect", daemon=True).start()
        try:
            await asyncio.wait([connection._answered], timeout=config.connect_timeout_s)
            if not connection._answered.done():
                connection._end("timeout")
            connection.raise_if_ended()
        except BaseException:
            # Cancelled, perhaps after the broker has accepted us: nobody would close it.
            connection._abandon()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self._cause

    def publish(self, message: OutboundMessage) -> asyncio.Future[bool]:
        """Send ``message``; the result is whether it arrived.

        For QoS 1 that is the broker's acknowledgement, for QoS 0 that it was written out.
        The result is ``False`` when the connection ends first; it never raises.
        """
        acknowledged: asyncio.Future[bool] = self._loop.create_future()
        if not self._cause:
            info = self._client.publish(
                message.topic, message.payload, message.qos, message.retain
            )
            if info.rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._acks[info.mid] = acknowledged
                return acknowledged
        acknowledged.set_result(False)
        return acknowledged

    def raise_if_ended(self) -> None:
        """Do nothing while the connection stands.

        Raises:
            BrokerError: It does not.
        """
        if self._cause:
            raise self._error()

    def give_up(self) -> None:
        """Take the connection for dead: the broker stays silent."""
        self._end("timeout")

    async def close(self) -> None:
        """Say goodbye, so that the last will is not published, and end."""
        self._client.disconnect()
        # Not asyncio.timeout(): in Python 3.11 it does not work in a task that is cancelled.
        await asyncio.wait([self._ended], timeout=_CLOSE_TIMEOUT_S)
        self._abandon()

    def _error(self) -> BrokerError:
        return BrokerError(f"broker {self.address}: {_CAUSES[self._cause]}", self._cause)

    def _abandon(self) -> None:
        """Let go of the client: its thread ends by itself and takes the sockets with it."""
        self._end("closed")
        self._client.disconnect()
        # A client and its callbacks hold each other; left to the garbage collector, its
        # sockets would be closed at some later time.
        self._client.on_connect = None
        self._client.on_disconnect = None
        self._client.on_publish = None

    # On the event loop, called from paho's threads through _hop.

    def _leave_if_ended(self) -> None:
        # Nobody waits any more; an accepted connection would live on unseen.
        if self._cause:
            self._client.disconnect()

    def _answer(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)

    def _acknowledge(self, mid: int) -> None:
        acknowledged = self._acks.pop(mid, None)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(True)

    def _end(self, cause: str) -> None:
        if self._cause:
            return
        self._cause = cause
        self._ended.set_result(None)
        self._answer()
        for acknowledged in self._acks.values():
            if not acknowledged.done():
                acknowledged.set_result(False)
        self._acks.clear()
        self._on_end()

    # In paho's threads.

    def _connect(self) -> None:
        try:
            if self._config.tls:
                self._client.tls_set_context(_tls_context(self._config))
            keepalive_s = min(_KEEPALIVE_MAX_S, max(1, round(self._config.keepalive_s)))
            self._client.connect(self._config.host, self._config.port, keepalive_s)
        except (OSError, ValueError) as exc:
            self._hop(self._end, _cause_of(exc))
            return
        self._client.loop_start()
        self._hop(self._leave_if_ended)

    def _on_connect(
        self,
        _client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not reason_code.is_failure:
            self._hop(self._answer)
        elif reason_code.value in _BAD_CREDENTIALS:
            self._hop(self._end, "bad_credentials")
        else:
            self._hop(self._end, "rejected")

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason_code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        timed_out = reason_code.value == _KEEPALIVE_TIMEOUT
        self._hop(self._end, "timeout" if timed_out else "closed")

    def _on_publish(
        self,
        _client: Client,
        _userdata: object,
        mid: int,
        _reason_code: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._hop(self._acknowledge, mid)

    def _hop(self, callback: Callable[..., None], *arguments: str | int) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The event loop is closed: nobody is left to tell.
            self._client.disconnect()


def _new_client(config: MqttConfig, client_id: str, last_will: OutboundMessage) -> Client:
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=True,
        protocol=MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = config.connect_timeout_s
    client.max_inflight_messages_set(MAX_IN_FLIGHT)
    client.will_set(last_will.topic, last_will.payload, last_will.qos, last_will.retain)
    if config.username is not None:
        password = config.password.get_secret_value() if config.password else None
        client.username_pw_set(config.username, password)
    return client


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as exc:
        raise ssl.SSLError(str(exc)) from exc
    context.sslsocket_class = _ClosingSocket
    return context


class _ClosingSocket(ssl.SSLSocket):
    """Closes itself when its handshake fails; paho would leave that to chance."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's own
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _cause_of(exc: OSError | ValueError) -> str:
    """Return the key of ``_CAUSES`` for what ``connect`` raised."""
    match exc:
        # A name that cannot be encoded as a host name is a UnicodeError.
        case socket.gaierror() | UnicodeError():
            return "dns"
        case ConnectionRefusedError():
            return "refused"
        case TimeoutError():
            return "timeout"
        case ssl.SSLError():
            return "tls"
        case ConnectionResetError():
            return "closed"
        case _:
            return "unreachable"
