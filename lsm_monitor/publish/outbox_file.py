"""The outbox's file: what it stores, in which transactions, and how it is opened.

Every transaction is written through (``synchronous=FULL``), so each method may wait for the
disk. SQLite's errors end here: as :class:`StoreError`, or, when the file itself is damaged,
as :class:`DamagedStoreError`, after which it must be opened again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.outbox_limits import forget_old, make_room, number
from lsm_monitor.publish.outbox_open import (
    NewerStoreError,
    open_connection,
    open_read_only,
)
from lsm_monitor.publish.outbox_rows import Entry, OutboxRow, StoreLimits
from lsm_monitor.publish.outbox_schema import EPISODE
from lsm_monitor.sqlite_file import is_damage
from lsm_monitor.types import Acknowledgement, Episode, EventKind, Feedback, OutboundMessage

FEEDBACK_PER_EVENT = 100
"""Verdicts kept of one event; the oldest give way."""


class DamagedStoreError(StoreError):
    """The file is damaged, or is not SQLite's."""


class OutboxFile:
    """A sound file of this version; see :meth:`open`. Not thread-safe.

    Attributes:
        read_only: Why nothing can be written, ever, until it is opened again; else ``None``.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, read_only: StoreError | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self.read_only = read_only

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> OutboxFile:
        """Open the file, or make a new one.

        A damaged file is set aside; what can still be read of it is carried over. One that
        cannot be written is opened for reading: what it says is worth knowing.

        Raises:
            StoreError: The file cannot be used; the text says what to do.
        """
        try:
            return cls(open_connection(path, now=now), path)
        except NewerStoreError:
            raise
        except StoreError as exc:
            try:
                connection = open_read_only(path)
            except StoreError:
                raise exc from exc.__cause__
            return cls(connection, path, read_only=exc)

    def write(self, entry: Entry, *, without: Iterable[int], limits: StoreLimits) -> int:
        """Store an event, its messages and its episode, all or nothing.

        An event that is there already changes nothing.

        Args:
            entry: What to store.
            without: Ids of messages that need not be sent any more.
            limits: What to make room within.

        Returns:
            How many samples had to go.
        """
        event, event_id = entry.event, str(entry.event.episode.event_id)
        created_at = entry.recorded_at.isoformat()
        gone = frozenset(without)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (event_id, seq, topic) DO NOTHING",
                [
                    (
                        row.row_id,
                        event_id,
                        event.episode.seq,
                        row.message.topic,
                        row.message.payload,
                        row.message.qos,
                        row.message.retain,
                        created_at,
                        entry.is_sample and not row.message.retain,
                    )
                    for row in entry.rows
                    if row.row_id not in gone
                ],
            )
            # Of a retained topic only the newest counts: the older are samples now.
            connection.execute(
                "UPDATE outbox SET is_sample = 1 WHERE event_id = ? AND seq < ? AND retain",
                (event_id, event.episode.seq),
            )
            if entry.rows:
                connection.execute(
                    "INSERT INTO event "
                    "(event_id, seq, event_type, camera, zone, level, recorded_at, payload) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id, seq) DO NOTHING",
                    (
                        event_id,
                        event.episode.seq,
                        event.kind.value,
                        event.episode.camera_id,
                        event.episode.zone_id,
                        event.state.level.value,
                        created_at,
                        entry.rows[0].message.payload,
                    ),
                )
            if event.kind is EventKind.CLOSE:
                connection.execute("DELETE FROM episode WHERE event_id = ?", (event_id,))
                connection.execute("DELETE FROM kept WHERE event_id = ?", (event_id,))
            else:
                retained = [row.message for row in entry.rows if row.message.retain]
                _keep(connection, event.episode, retained)
            return make_room(connection, limits.max_bytes)

    def restate(self, episode: Episode, retained: Iterable[OutboundMessage]) -> None:
        """Store an open episode that is known from elsewhere."""
        with self._transaction() as connection:
            _keep(connection, episode, retained)

    def save_episodes(self, episodes: Iterable[Episode]) -> None:
        """Store what has changed of open episodes since their newest events."""
        with self._transaction() as connection:
            for episode in episodes:
                _keep(connection, episode, ())

    def finish(self, row_ids: Mapping[int, str | None], *, now: datetime) -> None:
        """Delete messages; those with a reason become dead letters."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO dead SELECT *, ?, ? FROM outbox WHERE id = ?",
                [
                    (reason, now.isoformat(), row_id)
                    for row_id, reason in row_ids.items()
                    if reason is not None
                ],
            )
            connection.executemany(
                "DELETE FROM outbox WHERE id = ?", [(row_id,) for row_id in row_ids]
            )

    def forget_old(self, limits: StoreLimits, *, now: datetime) -> int:
        """Apply the limits of age; return how many messages became dead letters."""
        with self._transaction() as connection:
            return forget_old(connection, limits, now=now)

    def add_feedback(self, feedback: Feedback, *, is_open: bool) -> bool:
        """Store an operator's verdict; return whether its event is known.

        An open one is, whether its history was forgotten or is not written yet.
        """
        event_id = str(feedback.event_id)
        with self._transaction() as connection:
            if not (is_open or _is_in_history(connection, event_id)):
                return False
            connection.execute(
                "INSERT INTO feedback (event_id, verdict, note, author, at) "
                "VALUES (?, ?, ?, ?, ?)",
                (
                    event_id,
                    feedback.verdict.value,
                    feedback.note,
                    feedback.by,
                    feedback.at.isoformat(),
                ),
            )
            connection.execute(
                "DELETE FROM feedback WHERE event_id = ? AND id NOT IN (SELECT id FROM "
                "feedback WHERE event_id = ? ORDER BY id DESC LIMIT ?)",
                (event_id, event_id, FEEDBACK_PER_EVENT),
            )
        return True

    def acknowledge(self, acknowledgement: Acknowledgement, *, is_open: bool) -> bool:
        """Store who has seen an episode first; return whether its event is known, as above."""
        event_id = str(acknowledgement.event_id)
        with self._transaction() as connection:
            if not (is_open or _is_in_history(connection, event_id)):
                return False
            connection.execute(
                "INSERT OR IGNORE INTO acknowledgement (event_id, author, at) VALUES (?, ?, ?)",
                (event_id, acknowledgement.by, acknowledgement.at.isoformat()),
            )
        return True

    def pending(
        self, limit: int, *, after_id: int, without: Mapping[int, object]
    ) -> list[OutboxRow]:
        """Return up to ``limit`` messages in order, but for those in ``without``."""
        rows: list[OutboxRow] = []
        with self._translated():
            for row_id, topic, payload, qos, retain, created_at in self._connection.execute(
                "SELECT id, topic, payload, qos, retain, created_at FROM outbox "
                "WHERE id > ? ORDER BY id",
                (after_id,),
            ):
                if len(rows) == limit:
                    break
                if row_id not in without:
                    message = OutboundMessage(topic, payload, qos, bool(retain))
                    at = datetime.fromisoformat(created_at).astimezone(UTC)
                    rows.append(OutboxRow(row_id, message, at))
        return rows

    def retained_topics(self) -> set[str]:
        """Return the topics of retained messages that wait."""
        with self._translated():
            rows = self._connection.execute("SELECT topic FROM outbox WHERE retain").fetchall()
        return {topic for (topic,) in rows}

    def episodes(self) -> list[tuple[Episode, list[OutboundMessage]]]:
        """Return the open episodes, each with its newest retained messages.

        Raises:
            StoreError: The disk refuses, or the file holds what this version never wrote.
        """
        with self._translated():
            contents = self._connection.execute("SELECT content FROM episode").fetchall()
            kept = self._connection.execute(
                "SELECT event_id, topic, payload, qos FROM kept ORDER BY topic"
            ).fetchall()
        try:
            episodes = [EPISODE.validate_json(content) for (content,) in contents]
        except ValidationError as exc:
            msg = f"outbox {self._path}: an episode is unreadable; move the file away"
            raise StoreError(msg) from exc
        messages: dict[str, list[OutboundMessage]] = {}
        for event_id, topic, payload, qos in kept:
            message = OutboundMessage(topic, payload, qos, retain=True)
            messages.setdefault(event_id, []).append(message)
        episodes.sort(key=lambda episode: (episode.camera_id, episode.zone_id))
        return [(episode, messages.get(str(episode.event_id), [])) for episode in episodes]

    def count(self) -> int:
        """Return the number of waiting messages."""
        with self._translated():
            return number(self._connection.execute("SELECT count(*) FROM outbox"))

    def last_id(self) -> int:
        """Return the largest id that was ever used."""
        with self._translated():
            return number(
                self._connection.execute(
                    "SELECT max(coalesce((SELECT max(id) FROM dead), 0), coalesce((SELECT seq "
                    "FROM sqlite_sequence WHERE name = 'outbox'), 0))"
                )
            )

    def prove(self) -> None:
        """Write something that changes nothing, to see whether the disk takes it."""
        with self._transaction() as connection:
            connection.execute("INSERT INTO episode VALUES ('proof', '')")
            connection.execute("DELETE FROM episode WHERE event_id = 'proof'")

    def shrink_log(self) -> None:
        """Give back what the write-ahead log takes: on a full disk that may be the cure."""
        with self._translated():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        # Commits at the end, and rolls back when anything is raised.
        with self._translated(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            text = f"outbox {self._path}: {exc}"
            if is_damage(exc):
                raise DamagedStoreError(text) from exc
            msg = f"{text}; check that the disk is neither full nor read-only"
            raise StoreError(msg) from exc


def _is_in_history(connection: sqlite3.Connection, event_id: str) -> bool:
    found = connection.execute("SELECT 1 FROM event WHERE event_id = ?", (event_id,))
    return found.fetchone() is not None


def _keep(
    connection: sqlite3.Connection, episode: Episode, retained: Iterable[OutboundMessage]
) -> None:
    event_id = str(episode.event_id)
    connection.execute(
        "INSERT OR REPLACE INTO episode VALUES (?, ?)",
        (event_id, EPISODE.dump_json(episode).decode()),
    )
    connection.executemany(
        "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
        [(event_id, m.topic, m.payload, m.qos) for m in retained],
    )
    connection.execute("DELETE FROM kept WHERE event_id = ? AND payload = x''", (event_id,))
