"""Why there is no connection: one word for machines, one sentence for the operator.

The word is the label of ``lsm_mqtt_connects_total``; ``docs/mqtt.md`` has the same table.
"""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.client import WebsocketConnectionError

CAUSES = {
    "dns": "its name cannot be resolved; check 'mqtt.host' and the name server",
    "refused": "connection refused; check that it runs and that 'mqtt.port' is right",
    "timeout": "no answer in time; check 'mqtt.host', 'mqtt.tls' and the firewall",
    "unreachable": "cannot be reached; check the network and 'mqtt.host'",
    "tls": "TLS failed; check 'mqtt.tls', 'mqtt.port', 'mqtt.ca_file' and its certificate",
    "certificate": "our own certificate cannot be used; check 'mqtt.cert_file', "
    "'mqtt.key_file' and 'mqtt.key_password'",
    "websocket": "no websocket for MQTT there; check 'mqtt.transport', 'mqtt.port' and "
    "'mqtt.ws_path'",
    "protocol": "it does not speak this version of MQTT; set 'mqtt.protocol: auto'",
    "silent": "it takes the connection but does not answer; check 'mqtt.tls' and "
    "'mqtt.protocol', and whether it is overloaded",
    "hung_up": "it hung up before it answered; check 'mqtt.tls', and 'mqtt.cert_file' if it "
    "asks for a certificate",
    "bad_credentials": "user or password refused; check 'mqtt.username' and 'mqtt.password'",
    "rejected": "this client is refused; the broker's log says why",
    "busy": "it takes nothing now: too busy, or a quota is used up; its log says why",
    "unfit": "it offers no QoS 1 or keeps no retained messages; alerts need both",
    "too_large": "a message exceeds its limit; raise the broker's, or see 'lsm-monitor outbox'",
    "offended": "a message or its answer broke the protocol; the broker's log says which",
    "taken_over": "another client came with our client id",
    "closed": "connection closed; is 'mqtt.client_id' used twice, or the broker restarting?",
}

# Reason codes of MQTT 5, into which paho also translates those of 3.1.1 and its own errors.
_CONNECT = {
    132: "protocol",
    134: "bad_credentials",
    135: "bad_credentials",
    136: "busy",
    137: "busy",
    140: "bad_credentials",
    151: "busy",
}
CULPABLE = frozenset({"too_large", "offended"})
"""A connection that ends so was ended by a message: alone on its way, it is the one."""
_PROTOCOL_ERRORS = frozenset({129, 130})
_DISCONNECT = {
    129: "offended",
    130: "offended",
    137: "busy",
    141: "timeout",
    142: "taken_over",
    144: "offended",
    149: "too_large",
    151: "busy",
    153: "offended",
    154: "unfit",
    155: "unfit",
}
_NEVER = {
    135: "not_authorized",
    144: "topic_invalid",
    149: "too_large",
    153: "payload_invalid",
}

# The broker gives no reason that would say whether it is the message or itself.
_DOUBTFUL = {128: "unspecified", 131: "broker_specific"}


class OwnCertificateError(ValueError):
    """Our certificate or its key cannot be read."""


_EXCEPTIONS: tuple[tuple[type[Exception], str], ...] = (
    (socket.gaierror, "dns"),
    (UnicodeError, "dns"),  # a name that cannot be encoded as a host name
    (OwnCertificateError, "certificate"),
    (ConnectionRefusedError, "refused"),
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (WebsocketConnectionError, "websocket"),
    (ConnectionResetError, "closed"),
)


def of_connack(reason_code: int) -> str:
    """Return why a CONNACK refuses us."""
    return _CONNECT.get(reason_code, "rejected")


def of_disconnect(reason_code: int, *, answered: bool) -> str:
    """Return why a connection ended; ``answered``: the broker had accepted it before."""
    if answered:
        return _DISCONNECT.get(reason_code, "closed")
    # A broker without MQTT 5 may answer in a form that paho cannot read as MQTT 5.
    return "protocol" if reason_code in _PROTOCOL_ERRORS else "hung_up"


def of_puback(reason_code: int) -> tuple[str, str]:
    """Return why the broker will never take a message, and what leaves that in doubt.

    One of them at most; both are empty when the broker can take nothing now.
    """
    return _NEVER.get(reason_code, ""), _DOUBTFUL.get(reason_code, "")


def of_exception(exc: OSError | ValueError) -> str:
    """Return why paho's ``connect`` raised."""
    return next((cause for kind, cause in _EXCEPTIONS if isinstance(exc, kind)), "unreachable")
