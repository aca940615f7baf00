"""The outbox's file from beside the daemon: look, send again, throw away.

Looking only reads and works on a file that nobody may write. The rest are short transactions
that a running daemon waits for, at most; it sees their effect when it next looks.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.outbox_open import open_read_only
from lsm_monitor.publish.outbox_schema import SCHEMA_VERSION, require_version
from lsm_monitor.types import WaterLevel

_BUSY_TIMEOUT_S = 5.0
_Values = Sequence[str | None] | Mapping[str, str | None]
_EVENTS = """
SELECT payload FROM event
WHERE event_id = coalesce(:event_id, event_id) AND camera = coalesce(:camera, camera)
AND (:since IS NULL OR event_id IN (SELECT event_id FROM event WHERE recorded_at >= :since))
AND (:levels IS NULL OR event_id IN (
    SELECT event_id FROM event WHERE level IN (SELECT value FROM json_each(:levels))))
ORDER BY id
"""
_COLUMNS = "id, event_id, seq, topic, payload, qos, retain, created_at, is_sample"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that waits, or a dead letter; times are RFC 3339.

    Attributes:
        id: Its place in the order; what ``outbox retry`` wants.
        event_id: Its episode.
        seq: Its event's number.
        topic: Where it goes.
        size_bytes: Of its payload.
        recorded_at: When it was recorded.
        reason: Why it is a dead letter; ``None`` while it waits.
        dead_at: Since when; ``None`` while it waits.
    """

    id: int
    event_id: str
    seq: int
    topic: str
    size_bytes: int
    recorded_at: str
    reason: str | None
    dead_at: str | None


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """An operator's verdict; see :class:`lsm_monitor.types.Feedback`."""

    event_id: str
    verdict: str
    note: str
    by: str
    at: str


def waiting(path: Path) -> Iterator[StoredMessage]:
    """Return the messages that the broker has not acknowledged, oldest first.

    Raises:
        StoreError: The file cannot be read; here as in all functions of this module.
    """
    return _messages(path, "outbox", "NULL, NULL")


def dead_letters(path: Path) -> Iterator[StoredMessage]:
    """Return the messages that were given up, oldest first."""
    return _messages(path, "dead", "reason, dead_at")


def events(
    path: Path,
    *,
    event_id: UUID | None = None,
    camera: str | None = None,
    since: datetime | None = None,
    level: WaterLevel | None = None,
) -> Iterator[bytes]:
    """Return the history as it was published, oldest first; an episode whole or not at all.

    Args:
        path: The outbox's file.
        event_id: Only this episode.
        camera: Only episodes of this camera.
        since: Only episodes with an event since then, timezone-aware.
        level: Only episodes that came to this level or a worse one.
    """
    levels = list(WaterLevel)
    values = {
        "event_id": str(event_id) if event_id else None,
        "camera": camera,
        "since": since.astimezone(UTC).isoformat() if since else None,
        "levels": json.dumps(levels[levels.index(level) :]) if level else None,
    }
    return (payload for (payload,) in _read(path, _EVENTS, values))


def feedback(path: Path, *, event_id: UUID | None = None) -> Iterator[StoredFeedback]:
    """Return the verdicts, oldest first: all of them, or those about one episode."""
    rows = _read(
        path,
        "SELECT event_id, verdict, note, author, at FROM feedback "
        "WHERE event_id = coalesce(?, event_id) ORDER BY id",
        (str(event_id) if event_id else None,),
    )
    return (StoredFeedback(*row) for row in rows)


def retry(path: Path, ids: Sequence[int] | None) -> int:
    """Let dead letters be sent, in their old place; return how many.

    A retained message whose episode has gone on since would undo what came later: it is
    deleted.

    Args:
        path: The outbox's file.
        ids: Which; ``None``: all.
    """
    with _transaction(path) as connection:
        rows = [(i,) for i in ids] if ids is not None else _ids_of_all(connection)
        retried = connection.executemany(
            f"INSERT OR IGNORE INTO outbox ({_COLUMNS}) SELECT {_COLUMNS} FROM dead "  # noqa: S608 - our own names
            "WHERE id = ? AND NOT (retain AND EXISTS (SELECT 1 FROM event "
            "WHERE event.event_id = dead.event_id AND event.seq > dead.seq)) "
            # The history may have been forgotten before the dead letter.
            "AND NOT (retain AND payload <> x'' AND event_id NOT IN "
            "(SELECT event_id FROM episode))",
            rows,
        ).rowcount
        connection.executemany("DELETE FROM dead WHERE id = ?", rows)
        return retried


def purge(path: Path, *, dead: bool) -> int:
    """Delete all dead letters, or all messages that wait; return how many."""
    with _transaction(path) as connection:
        return connection.execute(f"DELETE FROM {'dead' if dead else 'outbox'}").rowcount  # noqa: S608 - our own names


def _ids_of_all(connection: sqlite3.Connection) -> list[tuple[int]]:
    return connection.execute("SELECT id FROM dead").fetchall()


def _messages(path: Path, table: str, why: str) -> Iterator[StoredMessage]:
    rows = _read(
        path,
        f"SELECT id, event_id, seq, topic, length(payload), created_at, {why} "  # noqa: S608 - our own names
        f"FROM {table} ORDER BY id",
    )
    return (StoredMessage(*row) for row in rows)


def _read(path: Path, query: str, values: _Values = ()) -> Iterator[tuple]:  # type: ignore[type-arg]  # a row is what the query says
    """Yield rows one by one: a history may be larger than the memory."""
    _require(path)
    with contextlib.closing(open_read_only(path)) as connection:
        try:
            yield from connection.execute(query, values)
        except sqlite3.Error as exc:
            raise _refused(path, exc) from exc


@contextlib.contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    _require(path)
    try:
        with contextlib.closing(
            sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            ((version,),) = connection.execute("PRAGMA user_version").fetchall()
            require_version(version, SCHEMA_VERSION)
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
    except sqlite3.Error as exc:
        raise _refused(path, exc) from exc


def _require(path: Path) -> None:
    if not path.exists():
        msg = f"outbox {path}: is not there; give the daemon's --config or --state-dir"
        raise StoreError(msg)


def _refused(path: Path, exc: sqlite3.Error) -> StoreError:
    return StoreError(f"outbox {path}: {exc}; a daemon of this version must have run on it")
