"""The tables of the outbox's file, and how a file of an earlier version becomes one of this.

An episode is stored as JSON: a new field of :class:`Episode` with a default needs no new
version of the file.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from lsm_monitor.types import CameraId, Episode, WaterLevel, ZoneId

SCHEMA_VERSION = 3
EPISODE = TypeAdapter(Episode)

# A row's id is never used again: the order of ids is the order of events.
_OUTBOX = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    is_sample INTEGER NOT NULL DEFAULT 0,
    UNIQUE (event_id, seq, topic)
);
"""
# The newest retained messages of each open episode: a broker that lost its own gets them.
_KEPT = """
CREATE TABLE kept (
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    PRIMARY KEY (event_id, topic)
);
"""
_NEW_IN_2 = """
CREATE INDEX outbox_sample ON outbox (id) WHERE is_sample;
CREATE TABLE episode (event_id TEXT PRIMARY KEY, content TEXT NOT NULL);
-- Messages that the broker will not take or that are too old: kept for a person to look at.
CREATE TABLE dead (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    is_sample INTEGER NOT NULL,
    reason TEXT NOT NULL,
    dead_at TEXT NOT NULL
);
-- Every event, told or not, for as long as it is kept.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event_type TEXT NOT NULL,
    camera TEXT NOT NULL,
    zone TEXT NOT NULL,
    level TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (event_id, seq)
);
CREATE TABLE feedback (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    note TEXT NOT NULL,
    author TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX feedback_of_event ON feedback (event_id);
"""
_NEW_IN_3 = """
-- Who has seen an episode: the first who says so.
CREATE TABLE acknowledgement (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    author TEXT NOT NULL,
    at TEXT NOT NULL
);
"""
SCHEMA = _OUTBOX + _KEPT + _NEW_IN_2 + _NEW_IN_3


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file."""
    # Only possible before the first table: pages of deleted rows leave the file.
    connection.execute("PRAGMA auto_vacuum = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        _run(connection, SCHEMA)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file of an earlier version up to this one, wholly or not at all.

    Raises:
        sqlite3.NotSupportedError: The file is of a later version, or of none of ours.
    """
    if version != 1:
        require_version(version, 2)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if version == 1:
            _to_2(connection)
        _run(connection, _NEW_IN_3)


def _to_2(connection: sqlite3.Connection) -> None:
    episodes = [
        _episode_of_1(row)
        for row in connection.execute(
            "SELECT event_id, camera_id, zone_id, seq, level, is_stale, opened_at, "
            "peak_fraction FROM episode"
        )
    ]
    connection.execute("ALTER TABLE outbox ADD COLUMN is_sample INTEGER NOT NULL DEFAULT 0")
    connection.execute("DROP TABLE episode")
    _run(connection, _NEW_IN_2)
    connection.executemany(
        "INSERT INTO episode VALUES (?, ?)",
        [(str(e.event_id), EPISODE.dump_json(e).decode()) for e in episodes],
    )


def require_version(version: int, wanted: int) -> None:
    """Do nothing if a file is of the version that is wanted.

    Raises:
        sqlite3.NotSupportedError: It is not.
    """
    if version != wanted:
        msg = f"its format is {version}, this version knows {SCHEMA_VERSION}"
        raise sqlite3.NotSupportedError(msg)


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the open transaction; ``executescript`` would commit it."""
    for statement in script.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _episode_of_1(row: tuple[str, str, str, int, str, int, str, float]) -> Episode:
    event_id, camera_id, zone_id, seq, level, is_stale, opened_at, peak_fraction = row
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
