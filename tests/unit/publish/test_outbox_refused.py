"""The outbox while the disk is full, read-only, damaged or away: nothing falls silent."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.unsaved import Unsaved
from lsm_monitor.types import (
    Acknowledgement,
    EventKind,
    Feedback,
    OutboundMessage,
    Verdict,
    WaterLevel,
)
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_ID, event_of, messages_of

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
OTHER_ID = UUID(int=2)
LATER = NOW + timedelta(seconds=30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def outbox(path: Path, metrics: Metrics) -> Iterator[Outbox]:
    outbox = Outbox.open(path, now=NOW, metrics=metrics)
    yield outbox
    outbox.close()


def refuse(outbox: Outbox, *, on: bool = True) -> None:
    """Let SQLite itself refuse every write, or not."""
    assert outbox._shelf.file is not None
    outbox._shelf.file._connection.execute(f"PRAGMA query_only = {int(on)}")


def tell(outbox: Outbox, *seqs: int, kind: EventKind = EventKind.UPDATE) -> list[bytes]:
    payloads = []
    for seq in seqs:
        event = event_of(EventKind.OPEN if seq == 1 else kind, seq=seq)
        messages = messages_of(event)
        outbox.record(event, messages, now=NOW)
        payloads.append(messages[0].payload)
    return payloads


def waiting(outbox: Outbox) -> list[bytes]:
    """Return the events that wait, without their retained copies."""
    rows = outbox.pending(1000)
    return [row.message.payload for row in rows if not row.message.retain]


def rows_on_disk(path: Path) -> list[tuple[int, bytes]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT id, payload FROM outbox ORDER BY id").fetchall()
    connection.close()
    return rows


def test_what_the_disk_refuses_is_there_to_be_sent_in_order_and_reported_once(
    outbox: Outbox, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    told = tell(outbox, 1)
    refuse(outbox)
    told += tell(outbox, 2, 3)
    assert waiting(outbox) == told
    assert outbox.count() == 6
    assert not outbox.is_durable
    assert metrics.snapshot()["lsm_outbox_durable"] == 0
    assert metrics.snapshot()["lsm_outbox_unsaved_events"] == 2
    assert [r.levelno for r in caplog.records] == [logging.ERROR]


def test_an_open_flood_that_is_not_on_disk_is_known_but_cannot_be_acknowledged_yet(
    outbox: Outbox,
) -> None:
    refuse(outbox)
    tell(outbox, 1)
    with pytest.raises(StoreError, match="neither full nor read-only"):
        outbox.acknowledge(Acknowledgement(EVENT_ID, "ann", NOW))
    with pytest.raises(StoreError, match="neither full nor read-only"):
        outbox.add_feedback(Feedback(EVENT_ID, Verdict.SHADOW, "", "", NOW))
    refuse(outbox, on=False)
    assert outbox.acknowledge(Acknowledgement(EVENT_ID, "ann", NOW))


def test_when_the_disk_is_back_it_gets_the_same_bytes_under_the_same_ids(
    outbox: Outbox, path: Path, metrics: Metrics
) -> None:
    refuse(outbox)
    tell(outbox, 1, 2)
    before = outbox.pending(100)
    refuse(outbox, on=False)
    assert outbox.settle(LATER) == []
    assert outbox.pending(100) == before
    assert rows_on_disk(path) == [(row.row_id, row.message.payload) for row in before]
    assert outbox.is_durable
    assert metrics.snapshot()["lsm_outbox_unsaved_events"] == 0


def test_what_was_acknowledged_meanwhile_is_not_sent_again(outbox: Outbox, path: Path) -> None:
    tell(outbox, 1)
    refuse(outbox)
    tell(outbox, 2)
    outbox.delete([row.row_id for row in outbox.pending(100)])
    assert outbox.pending(100) == []
    assert outbox.count() == 0
    refuse(outbox, on=False)
    outbox.settle(LATER)
    assert rows_on_disk(path) == []
    assert [episode.seq for episode in outbox.episodes()] == [2]


def test_what_a_broker_refused_meanwhile_becomes_a_dead_letter(
    outbox: Outbox, path: Path
) -> None:
    refuse(outbox)
    tell(outbox, 1)
    poison, *others = outbox.pending(100)
    outbox.set_aside(poison.row_id, "payload too large")
    refuse(outbox, on=False)
    outbox.settle(LATER)
    assert [row_id for row_id, _ in rows_on_disk(path)] == [row.row_id for row in others]
    with sqlite3.connect(path) as connection:
        dead = connection.execute("SELECT id, payload, reason FROM dead").fetchall()
    connection.close()
    assert dead == [(poison.row_id, poison.message.payload, "payload too large")]


def test_a_disk_that_refused_while_nothing_happened_is_good_again_without_an_event(
    outbox: Outbox, metrics: Metrics
) -> None:
    refuse(outbox)
    outbox.settle(NOW + timedelta(days=2))  # old history is due to go
    assert not outbox.is_durable
    outbox.settle(NOW + timedelta(days=2, seconds=1))
    assert not outbox.is_durable
    refuse(outbox, on=False)
    outbox.settle(NOW + timedelta(days=2, seconds=2))
    assert outbox.is_durable
    assert metrics.snapshot()["lsm_outbox_durable"] == 1
    assert outbox.episodes() == []


def test_late_subscribers_are_served_while_the_disk_refuses(outbox: Outbox) -> None:
    refuse(outbox)
    told = tell(outbox, 1, 2)
    outbox.delete([row.row_id for row in outbox.pending(100)])
    assert [(m.topic, m.payload) for m in outbox.kept()] == [(ACTIVE_TOPIC, told[-1])]
    assert outbox.newest(EVENT_ID) == told[-1]


def test_a_really_full_file_refuses_and_recovers(outbox: Outbox) -> None:
    tell(outbox, 1)
    assert outbox._shelf.file is not None
    connection = outbox._shelf.file._connection
    connection.execute("PRAGMA max_page_count = 1")
    event = event_of(seq=2)
    outbox.record(event, [OutboundMessage(ACTIVE_TOPIC, bytes(10**6), 1, retain=True)], now=NOW)
    assert not outbox.is_durable
    assert outbox.count() == 3
    connection.execute("PRAGMA max_page_count = 1000000")
    outbox.settle(LATER)
    assert outbox.is_durable
    assert outbox.count() == 3


def test_a_file_that_is_damaged_while_we_run_is_set_aside_and_what_is_open_goes_on(
    outbox: Outbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell(outbox, 1)
    refuse(outbox, on=False)
    assert outbox._shelf.file is not None
    outbox._shelf.file._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, b"\xff" * (path.stat().st_size - 100), 100)
    os.close(descriptor)
    outbox._shelf.file._connection.execute("PRAGMA shrink_memory")
    late = tell(outbox, 2)
    assert late[0] in waiting(outbox)
    outbox.settle(LATER)
    late += tell(outbox, 3)
    assert waiting(outbox)[-2:] == late
    assert outbox.is_durable
    outbox.close()
    assert list(path.parent.glob("*.corrupt-*"))
    assert "kept as" in caplog.text
    again = Outbox.open(path, now=LATER)
    assert [episode.seq for episode in again.episodes()] == [3]
    again.close()


@pytest.mark.parametrize("kind", ["folder-in-place-of-file", "file-in-place-of-folder"])
def test_a_file_that_cannot_be_opened_is_named_with_a_remedy_and_memory_serves(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state" / "outbox.sqlite"
    if kind == "folder-in-place-of-file":
        path.mkdir(parents=True)
    else:
        path.parent.write_text("")
    outbox = Outbox.open(path, now=NOW)
    told = tell(outbox, 1, 2)
    assert waiting(outbox) == told
    assert str(path) in caplog.text
    assert "check that the folder exists" in caplog.text
    if kind == "folder-in-place-of-file":
        path.rmdir()
    else:
        path.parent.unlink()
    outbox.settle(LATER)
    assert outbox.is_durable
    outbox.close()
    assert len(rows_on_disk(path)) == 4


def test_a_file_that_could_not_be_read_at_the_start_is_taken_in_when_it_can(
    outbox: Outbox, path: Path, tmp_path: Path
) -> None:
    early = tell(outbox, 1)
    outbox.close()
    path.rename(tmp_path / "away")
    path.mkdir()
    again = Outbox.open(path, now=NOW)
    other = event_of(EventKind.OPEN, seq=1, event_id=OTHER_ID)
    again.record(other, messages_of(other), now=NOW)
    path.rmdir()
    (tmp_path / "away").rename(path)
    strangers = again.settle(LATER)
    assert [episode.event_id for episode in strangers] == [EVENT_ID]
    assert waiting(again) == [*early, messages_of(other)[0].payload]
    assert again.settle(LATER) == []
    again.close()


def test_what_waits_comes_after_a_late_file_even_when_the_clock_was_set_back(
    outbox: Outbox, path: Path, tmp_path: Path
) -> None:
    early = tell(outbox, 1, 2)
    outbox.close()
    path.rename(tmp_path / "away")
    path.mkdir()
    last_year = NOW - timedelta(days=365)
    again = Outbox.open(path, now=last_year)
    other = event_of(EventKind.OPEN, seq=1, event_id=OTHER_ID)
    again.record(other, messages_of(other), now=last_year)
    path.rmdir()
    (tmp_path / "away").rename(path)
    again.settle(last_year + timedelta(seconds=30))
    assert again.is_durable
    assert waiting(again) == [*early, messages_of(other)[0].payload]
    again.close()


def test_the_file_of_a_later_version_that_appears_while_we_run_is_not_touched(
    path: Path,
) -> None:
    path.mkdir(parents=True)
    outbox = Outbox.open(path, now=NOW)
    path.rmdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE later (x)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    told = tell(outbox, 1)
    assert outbox.settle(LATER) == []
    assert waiting(outbox) == told
    assert not outbox.is_durable
    outbox.close()
    assert path.read_bytes() == before


def test_a_verdict_is_refused_while_the_disk_is_away(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    outbox = Outbox.open(tmp_path / "outbox", now=NOW)
    with pytest.raises(StoreError, match="later"):
        outbox.add_feedback(Feedback(EVENT_ID, Verdict.SHADOW, "", "", NOW))
    outbox.close()


def test_memory_is_bounded_and_gives_up_what_was_sent_then_samples_then_the_oldest(
    outbox: Outbox, metrics: Metrics
) -> None:
    outbox._unsaved = Unsaved(max_entries=4)
    refuse(outbox)
    told = tell(outbox, 1, 2)
    outbox.delete([row.row_id for row in outbox.pending(2)])  # the open
    calm = event_of(seq=3, level=WaterLevel.PONDING, calm=True)
    outbox.record(calm, messages_of(calm), now=NOW)
    told += tell(outbox, 4, 5)
    assert waiting(outbox) == [told[1], messages_of(calm)[0].payload, *told[2:]]
    assert metrics.snapshot()['lsm_outbox_dropped_total{reason="memory"}'] == 0
    told += tell(outbox, 6)
    assert waiting(outbox) == told[1:]
    told += tell(outbox, 7)
    assert waiting(outbox) == told[2:]
    assert metrics.snapshot()['lsm_outbox_dropped_total{reason="memory"}'] == 4


@given(steps=st.lists(st.sampled_from(["tell", "send", "refuse", "allow", "settle"])))
@settings(max_examples=40, deadline=None)  # each writes a file
def test_whatever_the_disk_does_every_event_is_sent_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    outbox = Outbox.open(tmp_path_factory.mktemp("outbox") / "o", now=NOW)
    told: list[bytes] = []
    sent: list[bytes] = []

    def send(limit: int) -> None:
        rows = outbox.pending(limit)
        sent.extend(row.message.payload for row in rows if not row.message.retain)
        outbox.delete([row.row_id for row in rows])

    for step in steps:
        if step == "tell":
            told += tell(outbox, len(told) + 1)
        elif step == "send":
            send(3)
        elif step == "settle":
            outbox.settle(NOW)
        else:
            refuse(outbox, on=step == "refuse")
    assert outbox.count() == len(outbox.pending(10**6))
    send(10**6)
    assert sent == told
    assert outbox.pending(10) == []
    outbox.close()
