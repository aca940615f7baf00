"""How paho is set up for one connection: protocol, transport, TLS, credentials, last will."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Sequence
from typing import Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from lsm_monitor.config.models import MqttConfig
from lsm_monitor.publish.broker_causes import OwnCertificateError
from lsm_monitor.types import OutboundMessage

MQTT_5, MQTT_3_1_1 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
MAX_IN_FLIGHT = 20
"""Messages without an acknowledgement at any time; many brokers hold back what exceeds it."""
_MAX_INBOUND_BYTES = 64 * 1024
"""What we ask a broker never to exceed; nothing that we subscribe to comes near it."""
_KEEPALIVE_MAX_S = 65535  # 16 bits in the protocol


def new_client(
    config: MqttConfig,
    *,
    client_id: str,
    last_will: OutboundMessage,
    protocol: MQTTProtocolVersion,
) -> Client:
    """Return a client that is not connected and will never reconnect by itself."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol == MQTT_5 else True,
        protocol=protocol,
        transport=config.transport,
        reconnect_on_failure=False,
    )
    client.on_socket_open = _send_at_once
    client.connect_timeout = config.connect_timeout_s
    client.max_inflight_messages_set(MAX_IN_FLIGHT)
    client.will_set(last_will.topic, last_will.payload, last_will.qos, last_will.retain)
    if config.transport == "websockets":
        client.ws_set_options(path=config.ws_path)
    if config.username is not None:
        password = config.password.get_secret_value() if config.password else None
        client.username_pw_set(config.username, password)
    return client


def connect(client: Client, config: MqttConfig) -> None:
    """Send CONNECT; blocks until the network, TLS and the websocket stand.

    Raises:
        OSError: They do not; see ``broker_causes.of_exception``.
        ValueError: The name or our own certificate cannot be used.
    """
    if config.tls:
        # Made anew for every connection, so that renewed certificates are picked up.
        client.tls_set_context(_tls_context(config))
    keepalive_s = min(_KEEPALIVE_MAX_S, max(1, round(config.keepalive_s)))
    if client.protocol != MQTT_5:
        client.connect(config.host, config.port, keepalive_s)
        return
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
    properties.MaximumPacketSize = _MAX_INBOUND_BYTES
    client.connect(
        config.host, config.port, keepalive_s, clean_start=True, properties=properties
    )


def subscribe(client: Client, topic_filters: Sequence[str]) -> None:
    """Ask for messages with QoS 1; on MQTT 5 their retain flag stays as it was sent."""
    if client.protocol == MQTT_5:
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        client.subscribe([(topic_filter, options) for topic_filter in topic_filters])
    else:
        client.subscribe([(topic_filter, 1) for topic_filter in topic_filters])


def hurry(client: Client) -> None:
    """Have the kernel confirm at once what has just come from the broker.

    The kernels' defaults make each batch 40 ms slower: the broker's holds back all
    acknowledgements after the first until ours has confirmed that one, and ours waits in case
    we have something to say. Measured with mosquitto 2.0.11 on loopback, 20 messages:
    44 ms without, 5 ms with.
    """
    _set(client.socket(), socket.TCP_QUICKACK)


class _Socket(Protocol):
    def fileno(self) -> int: ...


def _send_at_once(_client: Client, _userdata: object, sock: _Socket) -> None:
    """Have small packets leave at once, for the same reason."""
    _set(sock, socket.TCP_NODELAY)


def _set(sock: _Socket | None, option: int) -> None:
    """Set an option of TCP; through a second descriptor, paho hides that of a websocket."""
    if sock is None:
        return
    with (
        contextlib.suppress(OSError),  # closed in between
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=os.dup(sock.fileno())) as same,
    ):
        same.setsockopt(socket.IPPROTO_TCP, option, 1)


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as exc:
        raise ssl.SSLError(str(exc)) from exc
    if config.cert_file is not None:
        # Without a password OpenSSL would ask for one on the terminal, and wait.
        password = config.key_password.get_secret_value() if config.key_password else ""
        try:
            context.load_cert_chain(config.cert_file, config.key_file, password)
        except (OSError, ValueError):
            raise OwnCertificateError from None
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
