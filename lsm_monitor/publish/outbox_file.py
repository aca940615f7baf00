"""The outbox's file: its tables, how it is opened, and what happens when it is damaged."""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime
from pathlib import Path

from lsm_monitor.errors import StoreError

logger = logging.getLogger(__name__)

_SCHEMA_VERSION = 1
# AUTOINCREMENT: an id is never used again, so the order of ids is the order of events.
_SCHEMA = f"""
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
-- The newest retained messages of each open episode: a broker that lost its own gets them.
CREATE TABLE kept (
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    PRIMARY KEY (event_id, topic)
);
PRAGMA user_version = {_SCHEMA_VERSION};
"""
_BUSY_TIMEOUT_S = 5.0
_WAL_KEEP_BYTES = 4 * 1024 * 1024
_PRIMARY_CODE = 0xFF  # SQLite's extended codes carry the primary one in their low byte.


def open_file(path: Path, *, now: datetime) -> sqlite3.Connection:
    """Return a connection to a sound outbox file, made new when there is none.

    A file that SQLite cannot read is renamed to ``<name>.corrupt-<now>`` and kept: it may
    hold events that a person can still save.

    Raises:
        StoreError: The file cannot be used; the text says what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path)
        except _NotADatabaseError as exc:
            _set_aside(path, now, exc)
            return _connect(path)
    except (OSError, sqlite3.Error) as exc:
        msg = (
            f"outbox {path}: cannot be opened ({exc}); check that the folder exists, that "
            "the daemon's user may write to it, and that the disk is not full"
        )
        raise StoreError(msg) from exc


class _NotADatabaseError(sqlite3.DatabaseError):
    """The file is damaged, or is not SQLite's."""


def _connect(path: Path) -> sqlite3.Connection:
    """Return a connection to a sound outbox at ``path``."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    try:
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as exc:
        primary_code = exc.sqlite_errorcode & _PRIMARY_CODE
        if primary_code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise _NotADatabaseError(str(exc)) from exc
        raise
    if verdict != "ok":
        raise _NotADatabaseError(verdict)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
    if (version, tables) == (0, 0):
        # Only possible before the first table: pages of deleted rows leave the file.
        connection.execute("PRAGMA auto_vacuum = FULL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    elif version != _SCHEMA_VERSION:
        msg = f"its format is {version}, this version knows {_SCHEMA_VERSION}"
        raise sqlite3.NotSupportedError(msg)


def _set_aside(path: Path, now: datetime, exc: sqlite3.Error) -> None:
    aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}")
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    logger.error(
        "outbox %s: unreadable (%s); kept as %s, starting with an empty one: events that "
        "were not sent yet are in the old file",
        path,
        exc,
        aside.name,
    )
