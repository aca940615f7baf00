"""What MQTT 5 adds to a message, what a broker demands of us, and what it says to a message."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lsm_monitor.publish.broker_client import MAX_IN_FLIGHT
from lsm_monitor.types import OutboundMessage

_FIXED_HEADER_BYTES = 5
_LENGTHS_AND_ID_BYTES = 4
_EXPIRY_MAX_S = 2**32 - 1
# Read from the bytes themselves: they are what the outbox keeps, and all it has to keep.
_EVENT = re.compile(rb'\{"schema":"lsm\.event/\d+","event_id":"([0-9a-f-]{36})"')


@dataclass(frozen=True, slots=True)
class BrokerTerms:
    """What the broker demands since its CONNACK; the defaults are those of MQTT 3.1.1.

    Attributes:
        window: Messages that may be without an acknowledgement at any time, at least 1.
        max_packet_bytes: Size of the largest packet it takes, or ``None``.
        is_fit: It offers QoS 1 and keeps retained messages.
    """

    window: int = MAX_IN_FLIGHT
    max_packet_bytes: int | None = None
    is_fit: bool = True

    @classmethod
    def of(cls, connack: Properties | None) -> Self:
        """Return the terms that stand in the properties of a CONNACK."""
        given = vars(connack) if connack is not None else {}
        return cls(
            window=max(1, min(MAX_IN_FLIGHT, given.get("ReceiveMaximum", MAX_IN_FLIGHT))),
            max_packet_bytes=given.get("MaximumPacketSize"),
            is_fit=given.get("MaximumQoS", 2) >= 1 and given.get("RetainAvailable", 1) == 1,
        )

    def allow(self, message: OutboundMessage, properties: Properties | None) -> bool:
        """Return whether ``message`` is small enough; at most 4 bytes too strict."""
        if self.max_packet_bytes is None:
            return True
        size_bytes = len(message.topic) + len(message.payload) + _LENGTHS_AND_ID_BYTES
        if properties is not None:
            size_bytes += len(properties.pack())  # type: ignore[no-untyped-call]  # paho
        return _FIXED_HEADER_BYTES + size_bytes <= self.max_packet_bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message: it arrived, it will never be taken, or neither is known.

    Attributes:
        arrived: The broker has it; for QoS 0, it was written out.
        refused: Why the broker will never take it, one word; empty: it may be sent again.
        doubted: What the broker said that may mean the same, or its own trouble.
    """

    arrived: bool
    refused: str = ""
    doubted: str = ""


def properties_of(message: OutboundMessage) -> Properties:
    """Return what MQTT 5 says beside the payload: kind, expiry, episode."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
    if message.payload:
        content_type, is_text = _content_of(message.payload)
        properties.ContentType = content_type
        properties.PayloadFormatIndicator = int(is_text)
    if message.expires_s is not None:
        properties.MessageExpiryInterval = min(_EXPIRY_MAX_S, math.ceil(message.expires_s))
    if event := _EVENT.match(message.payload):
        properties.UserProperty = ("event_id", event[1].decode())
    return properties


def _content_of(payload: bytes) -> tuple[str, bool]:
    """Return the media type of what this project sends, and whether it is UTF-8 text."""
    if payload.startswith(b"{"):
        return "application/json", True
    if payload.startswith(b"<"):
        return "application/cap+xml", True
    if payload.startswith(b"\xff\xd8"):
        return "image/jpeg", False
    return "text/plain", True
