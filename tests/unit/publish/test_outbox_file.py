"""The outbox's file: older versions, damage, limits, dead letters, verdicts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.event_archive import EventArchive
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_file import FEEDBACK_PER_EVENT, OutboxFile
from lsm_monitor.publish.outbox_rows import Entry, OutboxRow, StoreLimits
from lsm_monitor.types import (
    Acknowledgement,
    EventKind,
    Feedback,
    OutboundMessage,
    Verdict,
    WaterLevel,
)
from tests.unit.publish.scenes import ACTIVE_TOPIC, EVENT_ID, EVENT_TOPIC, event_of, messages_of

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
# What version 0.1.0 wrote: its own statements, kept here for ever.
SCHEMA_1 = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    UNIQUE (event_id, seq, topic)
);
CREATE TABLE episode (
    camera_id TEXT NOT NULL,
    zone_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    level TEXT NOT NULL,
    is_stale INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    peak_fraction REAL NOT NULL,
    PRIMARY KEY (camera_id, zone_id)
);
CREATE TABLE kept (
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    PRIMARY KEY (event_id, topic)
);
PRAGMA user_version = 1;
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def outbox(path: Path, metrics: Metrics) -> Iterator[Outbox]:
    outbox = Outbox.open(path, now=NOW, metrics=metrics)
    yield outbox
    outbox.close()


def tell(outbox: Outbox, kind: EventKind, seq: int, event_id: UUID = EVENT_ID) -> None:
    level = WaterLevel.DRY if kind is EventKind.CLOSE else WaterLevel.FLOODED
    event = event_of(kind, seq=seq, level=level, event_id=event_id)
    outbox.record(event, messages_of(event), now=NOW)


def write_version_1(path: Path) -> list[OutboundMessage]:
    """Make the file of a daemon of version 0.1.0 with an open episode of two events."""
    messages = [m for seq in (1, 2) for m in messages_of(event_of(seq=seq))]
    episode = event_of(seq=2).episode
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA_1} COMMIT;")
        connection.executemany(
            "INSERT INTO outbox (event_id, seq, topic, payload, qos, retain, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    str(EVENT_ID),
                    1 + i // 2,
                    m.topic,
                    m.payload,
                    m.qos,
                    m.retain,
                    NOW.isoformat(),
                )
                for i, m in enumerate(messages)
            ],
        )
        connection.execute(
            "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                episode.camera_id,
                episode.zone_id,
                str(episode.event_id),
                episode.seq,
                episode.level.value,
                episode.is_stale,
                episode.opened_at.isoformat(),
                episode.peak_fraction,
            ),
        )
        connection.execute(
            "INSERT INTO kept VALUES (?, ?, ?, ?)",
            (str(EVENT_ID), ACTIVE_TOPIC, messages[-1].payload, 1),
        )
    connection.close()
    return messages


def test_a_file_of_the_previous_version_is_upgraded_without_loss(path: Path) -> None:
    messages = write_version_1(path)
    outbox = Outbox.open(path, now=NOW)
    rows = outbox.pending(10)
    assert [(row.row_id, row.message) for row in rows] == list(enumerate(messages, start=1))
    assert {row.recorded_at for row in rows} == {NOW}
    assert outbox.episodes() == [event_of(seq=2).episode]
    assert outbox.newest(EVENT_ID) == messages[-1].payload
    outbox.delete([row.row_id for row in rows])
    assert [m.payload for m in outbox.kept()] == [messages[-1].payload]
    tell(outbox, EventKind.CLOSE, 3)
    assert outbox.pending(1)[0].row_id > 4
    outbox.close()
    again = Outbox.open(path, now=NOW)
    assert again.count() == 2
    again.close()


def test_a_file_of_version_2_gets_room_for_acknowledgements(path: Path) -> None:
    outbox = Outbox.open(path, now=NOW)
    tell(outbox, EventKind.OPEN, 1)
    outbox.close()
    with sqlite3.connect(path) as connection:  # all that version 3 added
        connection.execute("DROP TABLE acknowledgement")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    outbox = Outbox.open(path, now=NOW)
    assert len(outbox.episodes()) == 1
    assert outbox.acknowledge(Acknowledgement(EVENT_ID, "ann", NOW))
    outbox.close()


def test_an_upgrade_that_is_interrupted_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = write_version_1(path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "lsm_monitor.publish.outbox_schema._NEW_IN_2", "CREATE TABLE dead (id); oops"
        )
        Outbox.open(path, now=NOW).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    outbox = Outbox.open(path, now=NOW)
    assert outbox.count() == len(messages)
    assert len(outbox.episodes()) == 1
    outbox.close()


def test_an_entry_is_stored_wholly_or_not_at_all(path: Path) -> None:
    file = OutboxFile.open(path, now=NOW)
    rows = [OutboxRow(i, m, NOW) for i, m in enumerate(messages_of(event_of(seq=1)), start=1)]
    unstorable = OutboxRow(3, OutboundMessage("t", object(), 1, retain=False), NOW)  # type: ignore[arg-type]  # SQLite refuses it
    with pytest.raises(StoreError):
        file.write(
            Entry(event_of(seq=1), (*rows, unstorable), NOW), without=(), limits=StoreLimits()
        )
    assert file.count() == 0
    assert file.episodes() == []
    file.close()


def test_what_can_still_be_read_of_a_damaged_file_is_carried_over(
    outbox: Outbox, path: Path
) -> None:
    tell(outbox, EventKind.OPEN, 1)
    for seq in range(2, 21):
        tell(outbox, EventKind.UPDATE, seq)
    before = outbox.pending(100)
    outbox.close()
    middle = before[21].message  # a retained copy: its topic and bytes stand together once
    damage(path, middle.topic.encode() + middle.payload)
    content = path.read_bytes()
    again = Outbox.open(path, now=NOW)
    saved = again.pending(100)
    assert 0 < len(saved) < len(before)
    assert set(saved) < set(before)
    assert saved[0] == before[0]
    assert [episode.seq for episode in again.episodes()] == [20]
    again.close()
    assert path.with_name("outbox.sqlite.corrupt-20260718T060000Z").read_bytes() == content


def damage(path: Path, text: bytes) -> None:
    """Overwrite the page in which ``text`` stands."""
    content = bytearray(path.read_bytes())
    page = content.index(text) // 4096
    content[page * 4096 : page * 4096 + 4096] = b"\xff" * 4096
    path.write_bytes(content)


def test_a_message_that_is_set_aside_is_kept_and_does_not_block_the_others(
    outbox: Outbox, path: Path, metrics: Metrics
) -> None:
    tell(outbox, EventKind.OPEN, 1)
    tell(outbox, EventKind.UPDATE, 2)
    poison, *others = outbox.pending(10)
    outbox.set_aside(poison.row_id, "payload too large")
    assert outbox.pending(10) == others
    with sqlite3.connect(path) as connection:
        (dead,) = connection.execute("SELECT id, payload, reason, dead_at FROM dead").fetchall()
    connection.close()
    assert dead == (
        poison.row_id,
        poison.message.payload,
        "payload too large",
        NOW.isoformat(),
    )
    assert metrics.snapshot()['lsm_outbox_dead_total{reason="refused"}'] == 1


def test_only_closed_episodes_expire_and_they_become_dead_letters(
    path: Path, metrics: Metrics
) -> None:
    limits = StoreLimits(event_expiry_s=3600.0)
    outbox = Outbox.open(path, now=NOW, limits=limits, metrics=metrics)
    tell(outbox, EventKind.OPEN, 1)
    tell(outbox, EventKind.OPEN, 1, UUID(int=5))
    tell(outbox, EventKind.CLOSE, 2, UUID(int=5))
    outbox.settle(NOW + timedelta(minutes=59))
    assert outbox.count() == 6
    outbox.settle(NOW + timedelta(minutes=61))
    assert outbox.count() == 2
    assert {row.message.payload for row in outbox.pending(9)} == {
        messages_of(event_of(EventKind.OPEN, seq=1))[0].payload
    }
    assert metrics.snapshot()['lsm_outbox_dead_total{reason="expired"}'] == 4
    outbox.close()


def test_nothing_expires_by_default(outbox: Outbox) -> None:
    tell(outbox, EventKind.OPEN, 1)
    tell(outbox, EventKind.CLOSE, 2)
    outbox.settle(NOW + timedelta(days=3650))
    assert outbox.count() == 4


def test_when_the_file_is_too_large_history_goes_then_samples_and_never_an_alert(
    path: Path, metrics: Metrics
) -> None:
    limits = StoreLimits(max_bytes=300_000)
    outbox = Outbox.open(path, now=NOW, limits=limits, metrics=metrics)
    alerts = []
    for seq in range(1, 201):
        event = event_of(
            EventKind.OPEN if seq == 1 else EventKind.UPDATE, seq=seq, calm=seq % 3 != 1
        )
        messages = messages_of(event)
        if seq % 3 == 1:
            alerts.append(messages[0].payload)
        outbox.record(event, messages, now=NOW)
    rows = outbox.pending(10**6)
    left = [row.message.payload for row in rows if row.message.topic == EVENT_TOPIC]
    assert [payload for payload in left if payload in set(alerts)] == alerts
    newest = messages_of(event_of(seq=200, calm=True))[1]
    assert newest in [row.message for row in rows]
    dropped = metrics.snapshot()['lsm_outbox_dropped_total{reason="size"}']
    assert dropped == 400 - len(rows) > 0
    outbox.close()
    assert path.stat().st_size < 310_000


def test_an_alert_is_kept_even_when_there_is_no_room(path: Path, metrics: Metrics) -> None:
    outbox = Outbox.open(path, now=NOW, limits=StoreLimits(max_bytes=1), metrics=metrics)
    tell(outbox, EventKind.OPEN, 1)
    tell(outbox, EventKind.UPDATE, 2)
    rows = outbox.pending(10)
    assert [row.message.retain for row in rows] == [False, False, True]
    outbox.close()


def history(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT seq FROM event ORDER BY id").fetchall()
    connection.close()
    return [seq for (seq,) in rows]


def test_history_is_bounded_by_rows_and_by_age(path: Path) -> None:
    limits = StoreLimits(history_events=3, history_days=1.0)
    outbox = Outbox.open(path, now=NOW, limits=limits)
    for seq in range(1, 6):
        tell(outbox, EventKind.UPDATE, seq)
    outbox.settle(NOW + timedelta(minutes=2))
    assert history(path) == [3, 4, 5]
    assert outbox.count() == 10
    outbox.settle(NOW + timedelta(days=2))
    assert history(path) == []
    outbox.close()


def test_the_first_who_acknowledges_a_known_event_is_kept(outbox: Outbox, path: Path) -> None:
    tell(outbox, EventKind.OPEN, 1)
    assert not outbox.acknowledge(Acknowledgement(UUID(int=9), "ann", NOW))
    assert outbox.acknowledge(Acknowledgement(EVENT_ID, "ann", NOW))
    assert outbox.acknowledge(Acknowledgement(EVENT_ID, "bob", NOW + timedelta(seconds=1)))
    assert EventArchive(path).episode(EVENT_ID).acknowledged == Acknowledgement(
        EVENT_ID, "ann", NOW
    )
    outbox.settle(NOW + timedelta(days=500))
    assert EventArchive(path).episode(EVENT_ID).acknowledged is None


def test_verdicts_are_kept_of_known_events_only_and_the_newest_of_many(
    outbox: Outbox, path: Path
) -> None:
    def verdict(event_id: UUID, note: str = "") -> bool:
        return outbox.add_feedback(Feedback(event_id, Verdict.REFLECTION, note, "ann", NOW))

    tell(outbox, EventKind.OPEN, 1)
    assert not verdict(UUID(int=9))
    for number in range(FEEDBACK_PER_EVENT + 5):
        assert verdict(EVENT_ID, str(number))
    with sqlite3.connect(path) as connection:
        notes = connection.execute("SELECT note FROM feedback ORDER BY id").fetchall()
    connection.close()
    assert [note for (note,) in notes] == [str(n) for n in range(5, FEEDBACK_PER_EVENT + 5)]
