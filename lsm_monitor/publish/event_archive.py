"""The history of episodes, read beside the daemon that writes it.

A connection of its own per question: a reader of SQLite's write-ahead log holds up neither
the inference thread nor the publisher, and a file that was set aside is simply not the one
that is opened next. Event ids are UUIDv7, so their order is that of time.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.outbox_schema import SCHEMA_VERSION, require_version
from lsm_monitor.types import Acknowledgement, Feedback, Verdict, WaterLevel

_BUSY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """What the file has of one episode.

    Attributes:
        event_id: Its id.
        payloads: Its events as they were published, oldest first; at least the newest.
        levels: The levels that they tell.
        acknowledged: Who has seen it first, if anybody.
        feedback: Verdicts, oldest first.
    """

    event_id: UUID
    payloads: tuple[bytes, ...]
    levels: frozenset[WaterLevel]
    acknowledged: Acknowledgement | None
    feedback: tuple[Feedback, ...]


class EventArchive:
    """Reads the outbox's file; every method may wait for the disk.

    Args:
        path: The outbox's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def newest_first(
        self,
        *,
        limit: int,
        before: UUID | None = None,
        camera: str | None = None,
        without: Collection[UUID] = (),
    ) -> list[EpisodeRecord]:
        """Return episodes, each with its newest event.

        Args:
            limit: At most so many.
            before: Only those that opened before this one.
            camera: Only this camera's.
            without: Not these.

        Raises:
            StoreError: The file cannot be read; here as in all methods.
        """
        left_out = json.dumps([str(event_id) for event_id in without])
        # '+camera' keeps SQLite on the index of event ids: in order, and only as far as needed.
        query = (
            "SELECT event_id FROM event WHERE event_id < ? AND +camera = coalesce(?, camera) "
            "AND event_id NOT IN (SELECT value FROM json_each(?)) "
            "GROUP BY event_id ORDER BY event_id DESC LIMIT ?"
        )
        last = "g" if before is None else str(before)  # 'g' comes after every digit
        values = (last, camera, left_out, limit)
        with self._connection() as connection:
            rows = connection.execute(query, values).fetchall()
            return [_record(connection, UUID(found), newest_only=True) for (found,) in rows]

    def episodes(self, event_ids: Collection[UUID]) -> dict[UUID, EpisodeRecord]:
        """Return what is known of these episodes, each with its newest event."""
        with self._connection() as connection:
            records = [_record(connection, each, newest_only=True) for each in event_ids]
        return {record.event_id: record for record in records}

    def episode(self, event_id: UUID) -> EpisodeRecord:
        """Return everything about an episode; one that is not known has no events."""
        with self._connection() as connection:
            return _record(connection, event_id, newest_only=False)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(
                sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro",
                    uri=True,
                    timeout=_BUSY_TIMEOUT_S,
                    isolation_level=None,
                )
            ) as connection:
                ((version,),) = connection.execute("PRAGMA user_version").fetchall()
                require_version(version, SCHEMA_VERSION)
                yield connection
        except sqlite3.Error as exc:
            msg = f"the history of events cannot be read ({exc}); see the log"
            raise StoreError(msg) from exc


def _record(
    connection: sqlite3.Connection, event_id: UUID, *, newest_only: bool
) -> EpisodeRecord:
    key = (str(event_id),)
    payloads = connection.execute(
        "SELECT payload FROM event WHERE event_id = ? ORDER BY seq DESC LIMIT ?",
        (*key, 1 if newest_only else -1),
    ).fetchall()
    levels = connection.execute(
        "SELECT DISTINCT level FROM event WHERE event_id = ?", key
    ).fetchall()
    seen = connection.execute(
        "SELECT author, at FROM acknowledgement WHERE event_id = ?", key
    ).fetchone()
    verdicts = connection.execute(
        "SELECT verdict, note, author, at FROM feedback WHERE event_id = ? ORDER BY id", key
    ).fetchall()
    return EpisodeRecord(
        event_id=event_id,
        payloads=tuple(payload for (payload,) in reversed(payloads)),
        levels=frozenset(WaterLevel(level) for (level,) in levels),
        acknowledged=None
        if seen is None
        else Acknowledgement(event_id, seen[0], datetime.fromisoformat(seen[1])),
        feedback=tuple(
            Feedback(event_id, Verdict(verdict), note, by, datetime.fromisoformat(at))
            for verdict, note, by, at in verdicts
        ),
    )
