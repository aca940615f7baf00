"""Events on disk until the broker has them.

paho keeps unacknowledged messages in memory, where a crash or a power cut loses them. Here
an event and the episode it belongs to become durable in one transaction before anybody
sends it; a message is deleted when the broker has acknowledged it. Sent twice is possible,
lost is not: subscribers tell a repeated event by ``event_id`` and ``seq``.

One SQLite connection behind one lock serves the inference thread, which records, and the
publisher's threads, which send. Every transaction is written through (``synchronous=FULL``),
so each method may wait for the disk: never call one on the event loop.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.outbox_file import open_file
from lsm_monitor.types import (
    CameraId,
    Episode,
    EventKind,
    OutboundMessage,
    WaterEvent,
    WaterLevel,
    ZoneId,
)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message that the broker has not acknowledged; ``row_id`` grows with time."""

    row_id: int
    message: OutboundMessage


class Outbox:
    """The outbox in one file; see :meth:`open`. Thread-safe."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> Outbox:
        """Open the outbox, or make a new one.

        A file that SQLite cannot read is renamed to ``<name>.corrupt-<now>`` and kept: it
        may hold events that a person can still save.

        Args:
            path: The file; its folder is made when it is missing.
            now: Timezone-aware UTC.

        Raises:
            StoreError: The file cannot be used; the text says what to do.
        """
        return cls(open_file(path, now=now), path)

    def record(
        self, event: WaterEvent, messages: Sequence[OutboundMessage], *, now: datetime
    ) -> None:
        """Store ``messages`` and the state of the event's episode, both or neither.

        An event that is still waiting may be recorded again: that changes nothing.

        Raises:
            StoreError: The disk refuses; nothing was stored.
        """
        episode = event.episode
        event_id = str(episode.event_id)
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO outbox "
                "(event_id, seq, topic, payload, qos, retain, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        event_id,
                        episode.seq,
                        m.topic,
                        m.payload,
                        m.qos,
                        m.retain,
                        now.isoformat(),
                    )
                    for m in messages
                ],
            )
            if event.kind is EventKind.CLOSE:
                connection.execute("DELETE FROM episode WHERE event_id = ?", (event_id,))
                connection.execute("DELETE FROM kept WHERE event_id = ?", (event_id,))
                return
            connection.execute(
                "INSERT OR REPLACE INTO episode VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                _row_of(episode),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)",
                [(event_id, m.topic, m.payload, m.qos) for m in messages if m.retain],
            )

    def episodes(self) -> list[Episode]:
        """Return the open episodes.

        Raises:
            StoreError: The disk refuses, or the file holds what this version never wrote.
        """
        rows = self._read("SELECT * FROM episode ORDER BY camera_id, zone_id")
        try:
            return [_episode_of(row) for row in rows]
        except ValueError as exc:
            msg = f"outbox {self._path}: an episode is unreadable ({exc}); move the file away"
            raise StoreError(msg) from exc

    def kept(self) -> list[OutboundMessage]:
        """Return the retained messages of open episodes that the broker once had.

        Those with newer ones on the way are left out: they would arrive late.

        Raises:
            StoreError: The disk refuses.
        """
        rows = self._read(
            "SELECT topic, payload, qos FROM kept JOIN episode USING (event_id) "
            "WHERE topic NOT IN (SELECT topic FROM outbox) ORDER BY topic"
        )
        return [
            OutboundMessage(topic, payload, qos, retain=True) for topic, payload, qos in rows
        ]

    def pending(self, limit: int, *, after_id: int = 0) -> list[OutboxRow]:
        """Return up to ``limit`` messages in the order they were recorded.

        Raises:
            StoreError: The disk refuses.
        """
        rows = self._read(
            "SELECT id, topic, payload, qos, retain FROM outbox "
            "WHERE id > ? ORDER BY id LIMIT ?",
            (after_id, limit),
        )
        return [
            OutboxRow(row_id, OutboundMessage(topic, payload, qos, bool(retain)))
            for row_id, topic, payload, qos, retain in rows
        ]

    def delete(self, row_ids: Iterable[int]) -> None:
        """Forget messages that the broker has acknowledged.

        Raises:
            StoreError: The disk refuses.
        """
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM outbox WHERE id = ?", [(row_id,) for row_id in row_ids]
            )

    def set_aside(self, row_id: int, reason: str) -> None:
        """Keep a message that no broker will take where it does not hold up the others.

        Raises:
            StoreError: The disk refuses.
        """
        with self._transaction() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS dead (id INTEGER PRIMARY KEY, event_id TEXT, "
                "seq INTEGER, topic TEXT, payload BLOB, qos INTEGER, retain INTEGER, "
                "created_at TEXT, reason TEXT)"
            )
            connection.execute(
                "INSERT INTO dead SELECT *, ? FROM outbox WHERE id = ?", (reason, row_id)
            )
            connection.execute("DELETE FROM outbox WHERE id = ?", (row_id,))

    def count(self) -> int:
        """Return the number of waiting messages.

        Raises:
            StoreError: The disk refuses.
        """
        ((count,),) = self._read("SELECT count(*) FROM outbox")
        return int(count)

    def oldest_at(self) -> datetime | None:
        """Return when the oldest waiting message was recorded, UTC; ``None`` without one.

        Raises:
            StoreError: The disk refuses.
        """
        rows = self._read("SELECT created_at FROM outbox ORDER BY id LIMIT 1")
        return datetime.fromisoformat(rows[0][0]).astimezone(UTC) if rows else None

    def close(self) -> None:
        """Close the file; the outbox cannot be used afterwards."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                # Commits at the end, and rolls back when anything is raised.
                with self._connection:
                    self._connection.execute("BEGIN IMMEDIATE")
                    yield self._connection
            except sqlite3.Error as exc:
                raise self._refused(exc) from exc

    def _read(self, query: str, values: tuple[int, ...] = ()) -> list[tuple]:  # type: ignore[type-arg]  # a row is what the query says
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as exc:
                raise self._refused(exc) from exc

    def _refused(self, exc: sqlite3.Error) -> StoreError:
        return StoreError(
            f"outbox {self._path}: {exc}; check that the disk is neither full nor read-only"
        )


def _row_of(episode: Episode) -> tuple[str | int | float, ...]:
    return (
        episode.camera_id,
        episode.zone_id,
        str(episode.event_id),
        episode.seq,
        episode.level.value,
        episode.is_stale,
        episode.opened_at.isoformat(),
        episode.peak_fraction,
    )


def _episode_of(row: tuple[str, str, str, int, str, int, str, float]) -> Episode:
    camera_id, zone_id, event_id, seq, level, is_stale, opened_at, peak_fraction = row
    return Episode(
        event_id=UUID(event_id),
        camera_id=CameraId(camera_id),
        zone_id=ZoneId(zone_id),
        seq=seq,
        level=WaterLevel(level),
        is_stale=bool(is_stale),
        opened_at=datetime.fromisoformat(opened_at),
        peak_fraction=peak_fraction,
    )
