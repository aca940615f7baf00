"""What others may ask of the daemon, and that nothing else gets through."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.publish.command_parser import parse
from lsm_monitor.publish.commands import (
    Command,
    Known,
    Reload,
    Request,
    SetContext,
    SetEnabled,
    SetMode,
    SetProfile,
    TakeSnapshot,
)
from lsm_monitor.publish.inbox import MAX_PAYLOAD_BYTES, InboundMessage
from lsm_monitor.types import Acknowledgement, Feedback, Verdict
from tests.unit.publish.scenes import EVENT_ID, TOPICS, UNDERPASS

BASE = "lsm/v1/hz-west"
CAMERA = f"{BASE}/camera/{UNDERPASS}"
FEEDBACK = f"{BASE}/event/{EVENT_ID}/feedback"
NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
KNOWN = Known(
    cameras=frozenset({UNDERPASS}),
    profiles=frozenset({"storm"}),
    contexts=frozenset({"rain-warning"}),
)
SUFFIXES = [
    "cmd/reload",
    "cmd/snapshot",
    f"camera/{UNDERPASS}/enabled/set",
    f"camera/{UNDERPASS}/mode/set",
    f"camera/{UNDERPASS}/profile/set",
    "context/rain-warning/set",
    f"event/{EVENT_ID}/feedback",
]


def request_of(
    topic: str,
    payload: bytes | str = b"",
    *,
    retain: bool = False,
    correlation: bytes | None = None,
) -> Request:
    payload = payload.encode() if isinstance(payload, str) else payload
    message = InboundMessage(topic, payload, retain, correlation)
    return parse(message, topics=TOPICS, known=KNOWN, now=NOW)


@pytest.mark.parametrize(
    ("topic", "payload", "kind", "command"),
    [
        (f"{BASE}/cmd/reload", "", "reload", Reload()),
        (f"{BASE}/cmd/reload", "{}", "reload", Reload()),
        (
            f"{BASE}/cmd/snapshot",
            '{"camera":"wensan-underpass"}',
            "snapshot",
            TakeSnapshot(UNDERPASS),
        ),
        (f"{CAMERA}/enabled/set", "OFF", "enabled", SetEnabled(UNDERPASS, enabled=False)),
        (
            f"{CAMERA}/enabled/set",
            ' {"value": "ON"}\n',
            "enabled",
            SetEnabled(UNDERPASS, enabled=True),
        ),
        (f"{CAMERA}/mode/set", "patrol\n", "mode", SetMode(UNDERPASS, "patrol")),
        (f"{CAMERA}/enabled/set", "default", "enabled", SetEnabled(UNDERPASS, None)),
        (f"{CAMERA}/mode/set", "default", "mode", SetMode(UNDERPASS, None)),
        (f"{CAMERA}/profile/set", "default", "profile", SetProfile(UNDERPASS, None)),
        (f"{CAMERA}/profile/set", "storm", "profile", SetProfile(UNDERPASS, "storm")),
        (
            f"{BASE}/context/rain-warning/set",
            '{"value":"ON","for_s":3600}',
            "context",
            SetContext("rain-warning", active=True, for_s=3600.0),
        ),
        (
            f"{BASE}/context/rain-warning/set",
            "OFF",
            "context",
            SetContext("rain-warning", active=False, for_s=None),
        ),
        (
            FEEDBACK,
            '{"verdict":"reflection","note":"wet road,\\nnothing else: 湿","by":"li"}',
            "feedback",
            Feedback(EVENT_ID, Verdict.REFLECTION, "wet road,\nnothing else: 湿", "li", NOW),
        ),
        (
            FEEDBACK,
            '{"verdict":"true_positive"}',
            "feedback",
            Feedback(EVENT_ID, Verdict.TRUE_POSITIVE, "", "", NOW),
        ),
        (
            f"{BASE}/event/{EVENT_ID}/acknowledge",
            '{"by":"li"}',
            "acknowledge",
            Acknowledgement(EVENT_ID, "li", NOW),
        ),
    ],
)
def test_a_command_is_what_the_documentation_says(
    topic: str, payload: str, kind: str, command: Command
) -> None:
    assert request_of(topic, payload) == Request(kind, command, "", None)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("", "", "no command on this topic"),
        (BASE, "", "no command on this topic"),
        (f"{BASE}/cmd", "", "no command on this topic"),
        (f"{BASE}/cmd/reply", "{}", "no command on this topic"),
        (f"x/{BASE}/cmd/reload", "", "no command on this topic"),
        (f"{BASE}/cmd/reload/", "", "no command on this topic"),
        (f"{CAMERA}/state", "OFF", "no command on this topic"),
        (f"{BASE}/cmd/reload", "now", "unknown field 'value'"),
        (f"{BASE}/cmd/reload", "{", "no valid JSON"),
        (f"{BASE}/cmd/reload", '{"a":NaN}', "NaN is not JSON"),
        (f"{BASE}/cmd/reload", '{"a":' + "[" * 4000, "no valid JSON"),
        (f"{BASE}/cmd/reload", b"\xff\xfe", "not UTF-8"),
        (f"{BASE}/cmd/reload", b" " * (MAX_PAYLOAD_BYTES + 1), "longer than 4096 bytes"),
        (f"{BASE}/cmd/snapshot", "", "no 'camera'"),
        (f"{BASE}/cmd/snapshot", '{"camera":7}', "'camera' must be a text"),
        (f"{BASE}/cmd/snapshot", '{"camera":"x"}', "no camera has this name"),
        (f"{BASE}/camera/../enabled/set", "ON", "no camera has this name"),
        (f"{BASE}/camera//enabled/set", "ON", "no camera has this name"),
        (f"{CAMERA}/enabled/set", "", "no 'value'"),
        (f"{CAMERA}/enabled/set", "on", "write one of OFF, ON, default"),
        (f"{CAMERA}/enabled/set", '{"value":true}', "'value' must be a text"),
        (f"{CAMERA}/mode/set", "fast", "write one of continuous, default, patrol, triggered"),
        (f"{CAMERA}/profile/set", "calm", "write one of default, storm"),
        (f"{BASE}/context/rain-warning/set", "default", "write one of OFF, ON"),
        (f"{BASE}/context/hail/set", "ON", "no context has this name"),
        (f"{BASE}/context/rain-warning/set", '{"value":"ON","for_s":"1"}', "a number of sec"),
        (f"{BASE}/context/rain-warning/set", '{"value":"ON","for_s":true}', "a number of sec"),
        (f"{BASE}/context/rain-warning/set", '{"value":"ON","for_s":1e999}', "at most 604800"),
        (f"{BASE}/context/rain-warning/set", '{"value":"ON","for_s":0}', "above 0"),
        (f"{BASE}/event/active/feedback", '{"verdict":"other"}', "names no event"),
        (f"{BASE}/event/{EVENT_ID.hex}/feedback", '{"verdict":"other"}', "names no event"),
        (FEEDBACK, "true_positive", "no 'verdict'"),
        (FEEDBACK, '{"verdict":"wrong"}', "wet_only"),
        (FEEDBACK, '{"verdict":"other","nota":"x"}', "unknown field 'nota'"),
        (FEEDBACK, '{"verdict":"other","note":"\\u0000"}', "characters that are no text"),
        (FEEDBACK, '{"verdict":"other","note":"\\ud800"}', "characters that are no text"),
        (FEEDBACK, '{"verdict":"other","by":"' + "x" * 101 + '"}', "longer than 100 char"),
    ],
)
def test_what_is_not_understood_is_refused_with_what_to_send(
    topic: str, payload: str | bytes, reason: str
) -> None:
    request = request_of(topic, payload)
    assert request.command is None
    assert reason in request.refusal


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_retained_command_is_refused_whatever_it_is(suffix: str) -> None:
    request = request_of(f"{BASE}/{suffix}", "ON", retain=True)
    assert request.command is None
    assert "without the retain flag" in request.refusal


@pytest.mark.parametrize(
    ("payload", "correlation", "expected"),
    [
        ("", None, None),
        ("", b"", None),
        ("", b"abc-1", "abc-1"),
        ("", b"\xff\x00", "ff00"),
        ("", b"a\x00", "6100"),
        ("", b"x" * 4000, "x" * 128),
        ('{"correlation_id":"from the payload"}', b"abc-1", "from the payload"),
        ('{"correlation_id":""}', b"abc-1", "abc-1"),
    ],
)
def test_the_answer_can_be_told_from_others(
    payload: str, correlation: bytes | None, expected: str | None
) -> None:
    request = request_of(f"{BASE}/cmd/reload", payload, correlation=correlation)
    assert request.command == Reload()
    assert request.correlation_id == expected


def check(request: Request) -> None:
    """Assert what holds for every message there can be."""
    assert (request.command is None) == bool(request.refusal)
    json.dumps([request.refusal, request.correlation_id], ensure_ascii=False).encode()
    assert len(request.refusal) < 500
    assert len(request.correlation_id or "") <= 128
    if isinstance(request.command, Feedback):
        assert len(request.command.note.encode()) <= MAX_PAYLOAD_BYTES


texts = st.text(st.characters(), max_size=30)
words = st.sampled_from(
    ["ON", "OFF", "storm", "patrol", "other", UNDERPASS, "correlation_id", "value", "for_s",
     "verdict", "note", "by", "camera"]
)  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | words | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(words | texts, inner, max_size=4)
    ),
    max_leaves=8,
)
payloads = st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode())
topics = st.one_of(
    texts,
    st.sampled_from(SUFFIXES).map(lambda suffix: f"{BASE}/{suffix}"),
    st.lists(st.sampled_from(["camera", "cmd", "set", "event", "mode", "..", "", "+"]) | texts)
    .map("/".join)
    .map(lambda rest: f"{BASE}/{rest}"),
)


@given(
    topic=topics,
    payload=payloads,
    retain=st.booleans(),
    correlation=st.none() | st.binary(max_size=300),
)
def test_no_message_gets_through_that_is_not_a_command(
    topic: str, payload: bytes, *, retain: bool, correlation: bytes | None
) -> None:
    request = request_of(topic, payload, retain=retain, correlation=correlation)
    check(request)
    assert not (retain and request.command)


@given(payload=json_values, suffix=st.sampled_from(SUFFIXES))
def test_no_json_on_a_command_s_topic_gets_through_that_is_not_a_command(
    payload: object, suffix: str
) -> None:
    check(request_of(f"{BASE}/{suffix}", json.dumps(payload)))
