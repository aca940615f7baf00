from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from lsm_monitor.publish.broker_terms import BrokerTerms, properties_of
from lsm_monitor.types import OutboundMessage
from tests.unit.publish.scenes import EVENT_ID, event_of, messages_of


def message(payload: bytes, *, expires_s: float | None = None) -> OutboundMessage:
    return OutboundMessage("lsm/x", payload, qos=1, retain=True, expires_s=expires_s)


def said(of: OutboundMessage) -> dict[str, object]:
    content: dict[str, object] = properties_of(of).json()  # type: ignore[no-untyped-call]  # paho
    return content


@pytest.mark.parametrize(
    ("payload", "content_type", "is_text"),
    [
        (b'{"a":1}', "application/json", 1),
        (b"<?xml version='1.0'?>", "application/cap+xml", 1),
        (b"\xff\xd8\xff\xe0", "image/jpeg", 0),
        (b"online", "text/plain", 1),
    ],
)
def test_a_message_says_what_it_is(payload: bytes, content_type: str, is_text: int) -> None:
    assert said(message(payload)) == {
        "ContentType": content_type,
        "PayloadFormatIndicator": is_text,
    }


def test_a_removal_says_nothing() -> None:
    assert said(message(b"")) == {}


@given(expires_s=st.floats(0.001, 1e12))
def test_an_expiry_is_never_shorter_than_asked_for_and_fits_the_protocol(
    expires_s: float,
) -> None:
    said_s = said(message(b"x", expires_s=expires_s))["MessageExpiryInterval"]
    assert isinstance(said_s, int)
    assert min(expires_s, 2**32 - 1) <= said_s <= min(expires_s + 1, 2**32 - 1)


def test_every_copy_of_an_event_names_its_episode() -> None:
    told, kept = messages_of(event_of())[:2]
    for copy in (told, kept):
        assert said(copy)["UserProperty"] == [("event_id", str(EVENT_ID))]


def test_without_properties_the_terms_are_those_of_3_1_1() -> None:
    assert BrokerTerms.of(None) == BrokerTerms()
    assert BrokerTerms.of(Properties(PacketTypes.CONNACK)) == BrokerTerms()  # type: ignore[no-untyped-call]  # paho


@given(size=st.integers(0, 70_000), limit=st.integers(20, 70_000))
def test_nothing_is_allowed_that_exceeds_the_limit(size: int, limit: int) -> None:
    asked = message(bytes(size))
    properties = properties_of(asked)
    # As MQTT 5 lays it out: fixed header, topic, packet id, properties, payload.
    rest = 2 + len(asked.topic) + 2 + len(properties.pack()) + size  # type: ignore[no-untyped-call]  # paho
    packet_bytes = 1 + (1 if rest < 128 else 2 if rest < 16_384 else 3) + rest
    is_allowed = BrokerTerms(max_packet_bytes=limit).allow(asked, properties)
    assert not (is_allowed and packet_bytes > limit)
    assert is_allowed or packet_bytes > limit - 4
