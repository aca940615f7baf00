"""``lsm-monitor outbox`` and ``events``, beside a daemon that has the file open."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.config.loader import load
from lsm_monitor.errors import ConfigError, StoreError
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.types import EventKind, Feedback, Verdict, WaterLevel, ZoneId
from tests.unit.publish.scenes import (
    EVENT_ID,
    HEALTHY,
    PROVENANCE,
    TOPICS,
    event_of,
    messages_of,
)

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
STORY = (
    event_of(EventKind.OPEN, seq=1),
    event_of(EventKind.UPDATE, seq=2, level=WaterLevel.SEVERE),
    event_of(EventKind.CLOSE, seq=3, level=WaterLevel.DRY),
)
CONFIG = """
version: 1
site: hz-west
state_dir: state
mqtt: {host: broker}
cap: {sender: flood@city.example}
cameras: {wensan-underpass: {url: "rtsp://192.0.2.1/1"}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """Return a running daemon's outbox with a finished episode in it."""
    outbox = Outbox.open(tmp_path / "state" / OUTBOX_FILE, now=NOW)
    for event in STORY:
        outbox.record(event, messages_of(event), now=NOW)
    yield outbox
    outbox.close()


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def objects(result: Result) -> list[dict[str, object]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_what_waits_is_listed_in_order(config: Path, outbox: Outbox) -> None:
    rows = outbox.pending(10)
    listed = objects(run(config, "outbox", "ls", "--json"))
    assert [message["id"] for message in listed] == [row.row_id for row in rows]
    assert {message["event_id"] for message in listed} == {str(EVENT_ID)}
    lines = run(config, "outbox", "ls").stdout.splitlines()
    assert f"{EVENT_ID} #1" in lines[0]


def test_a_dead_letter_is_shown_with_its_reason_and_can_be_sent_in_its_old_place(
    config: Path, outbox: Outbox
) -> None:
    before = outbox.pending(10)
    outbox.set_aside(before[2].row_id, "too large")
    (dead,) = objects(run(config, "outbox", "dead", "--json"))
    assert (dead["id"], dead["reason"]) == (before[2].row_id, "too large")
    assert "too large" in run(config, "outbox", "dead").stdout
    result = run(config, "outbox", "retry", str(before[2].row_id))
    assert result.stdout == "1 messages will be sent again\n"
    assert outbox.pending(10) == before
    assert run(config, "outbox", "dead").stdout == ""


def test_retry_wants_ids_or_all(config: Path, outbox: Outbox) -> None:
    for row in [row for row in outbox.pending(4) if not row.message.retain]:
        outbox.set_aside(row.row_id, "no")
    assert run(config, "outbox", "retry").exit_code == 2
    assert run(config, "outbox", "retry", "1", "--all").exit_code == 2
    assert run(config, "outbox", "retry", "--all").stdout.startswith("2 ")
    assert outbox.count() == 6


def test_a_flood_that_has_closed_since_does_not_come_back_by_a_retry(
    config: Path, outbox: Outbox
) -> None:
    event, kept, *others = outbox.pending(10)
    assert kept.message.retain
    for row in (event, kept):
        outbox.set_aside(row.row_id, "not authorised")
    assert run(config, "outbox", "retry", "--all").stdout.startswith("1 ")
    assert outbox.pending(10) == [event, *others]
    assert run(config, "outbox", "dead").stdout == ""


def test_it_does_not_come_back_either_when_its_history_is_forgotten(
    config: Path, outbox: Outbox, tmp_path: Path
) -> None:
    event, kept, *others = outbox.pending(10)
    for row in (event, kept):
        outbox.set_aside(row.row_id, "not authorised")
    with sqlite3.connect(tmp_path / "state" / OUTBOX_FILE) as file:
        file.execute("DELETE FROM event")  # as the limits of number and size do
    file.close()
    assert run(config, "outbox", "retry", "--all").stdout.startswith("1 ")
    assert outbox.pending(10) == [event, *others]


def test_nothing_is_purged_without_a_yes(config: Path, outbox: Outbox) -> None:
    outbox.set_aside(outbox.pending(1)[0].row_id, "no")
    refused = run(config, "outbox", "purge")
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert run(config, "outbox", "purge", "--yes").stdout == "1 messages deleted\n"
    assert outbox.count() == 5
    assert run(config, "outbox", "purge", "--waiting", "--yes").stdout == "5 messages deleted\n"
    assert outbox.pending(10) == []
    assert len(objects(run(config, "events", "ls", "--json"))) == 3


def test_the_history_is_what_was_published_also_after_the_broker_has_it(
    config: Path, outbox: Outbox
) -> None:
    outbox.delete([row.row_id for row in outbox.pending(10)])
    published = [messages_of(event)[0].payload.decode() for event in STORY]
    for command in ("ls", "export"):
        result = run(config, "events", command, "--json")
        assert result.stdout.splitlines() == published
    assert objects(run(config, "events", "ls", "--camera", "other", "--json")) == []
    (first, *_) = run(config, "events", "ls").stdout.splitlines()
    assert "OPEN" in first
    assert "31.0%" in first


def test_floods_are_chosen_by_time_and_by_how_bad_they_were_and_are_whole(
    config: Path, outbox: Outbox
) -> None:
    pond = event_of(
        EventKind.OPEN,
        seq=1,
        level=WaterLevel.PONDING,
        event_id=UUID(int=7),
        zone_id=ZoneId("a"),
    )
    outbox.record(pond, messages_of(pond), now=NOW + timedelta(hours=1))

    def chosen(*options: str) -> list[object]:
        listed = objects(run(config, "events", "ls", "--json", *options))
        return [(event["level"], event["seq"]) for event in listed]

    flood = [("flooded", 1), ("severe", 2), ("dry", 3)]
    assert chosen("--since", "2026-07-18T14:00+08:00") == [*flood, ("ponding", 1)]
    assert chosen("--since", "2026-07-18T06:00:01Z") == [("ponding", 1)]
    assert chosen("--since", "2026-07-18T08:00:00Z") == []
    assert chosen("--level", "ponding") == [*flood, ("ponding", 1)]
    assert chosen("--level", "severe") == flood


def test_a_time_that_is_none_says_what_to_write(config: Path, outbox: Outbox) -> None:
    del outbox
    result = run(config, "events", "ls", "--since", "yesterday")
    assert result.exit_code == 2
    assert "write 24h, 7d" in result.output


def test_it_can_be_read_when_the_daemon_is_stopped(config: Path, outbox: Outbox) -> None:
    outbox.close()
    assert len(objects(run(config, "events", "ls", "--json"))) == 3
    assert len(objects(run(config, "outbox", "ls", "--json"))) == 6


def test_an_episode_is_shown_with_its_verdicts(config: Path, outbox: Outbox) -> None:
    assert outbox.add_feedback(
        Feedback(EVENT_ID, Verdict.REFLECTION, "sun on the road", "ann", NOW)
    )
    text = run(config, "events", "show", str(EVENT_ID)).stdout
    assert "reflection by ann: sun on the road" in text
    assert '"status": "closed"' in text
    (verdict,) = objects(run(config, "events", "feedback", "--json"))
    assert verdict == {
        "event_id": str(EVENT_ID),
        "verdict": "reflection",
        "note": "sun on the road",
        "by": "ann",
        "at": NOW.isoformat(),
    }
    missing = run(config, "events", "show", "00000000-0000-0000-0000-000000000001")
    assert missing.exit_code == 2


def test_a_table_has_a_column_for_every_number(config: Path, outbox: Outbox) -> None:
    del outbox
    rows = list(csv.DictReader(run(config, "events", "export", "--csv").stdout.splitlines()))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["water.fraction"] == "0.31"
    assert rows[0]["reason_codes"] == "LEVEL_UP PERSISTENT"


def test_exported_alerts_are_byte_for_byte_those_that_were_published(
    config: Path, outbox: Outbox, tmp_path: Path
) -> None:
    del outbox
    messages = Messages(TOPICS, PROVENANCE, load(config, {}).config.cap)
    folder = tmp_path / "cap"
    result = run(config, "events", "export", "--cap", "--out", str(folder))
    assert result.stdout == f"{folder}: 3 alerts\n"
    previous = None
    for event in STORY:
        sent_at = datetime.fromisoformat(json.loads(messages_of(event)[0].payload)["sent_at"])
        told, _, alert = messages.event(
            event, health=HEALTHY, sent_at=sent_at, previous=previous
        )
        file = folder / f"{EVENT_ID}.{event.episode.seq}.xml"
        assert file.read_bytes() == alert.payload
        previous = told.payload


def test_a_table_has_a_depth_though_the_first_event_of_it_had_none(
    config: Path, tmp_path: Path
) -> None:
    outbox = Outbox.open(tmp_path / "state" / OUTBOX_FILE, now=NOW)
    blind = event_of(EventKind.STALE, seq=1, level=WaterLevel.UNKNOWN)  # knows no numbers
    for event in (blind, *STORY[1:]):
        outbox.record(event, messages_of(event), now=NOW)
    outbox.close()
    rows = list(csv.DictReader(run(config, "events", "export", "--csv").stdout.splitlines()))
    assert [row["water.depth_cm.max"] for row in rows] == ["", "25.0", "25.0"]
    assert [row["water.next_level.level"] for row in rows] == ["", "severe", "severe"]
    assert "water.depth_cm" not in rows[0]


@pytest.mark.parametrize("formats", [(), ("--json", "--csv")])
def test_an_export_has_one_format(config: Path, outbox: Outbox, formats: tuple[str]) -> None:
    del outbox
    assert run(config, "events", "export", *formats).exit_code == 2


def test_cap_needs_to_know_who_warns(tmp_path: Path, outbox: Outbox) -> None:
    del outbox
    result = CliRunner().invoke(
        app, ["events", "export", "--cap", "--state-dir", str(tmp_path / "state")]
    )
    assert isinstance(result.exception, ConfigError)


def test_a_folder_without_an_outbox_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["outbox", "ls", "--state-dir", str(tmp_path)])
    assert isinstance(result.exception, StoreError)
    assert str(tmp_path) in str(result.exception)
