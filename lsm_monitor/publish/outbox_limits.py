"""How the outbox's file stays small: what expires, and what goes first when it is too large."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from lsm_monitor.publish.outbox_rows import StoreLimits

_TRIM_ROWS = 200
_FORGET_ROWS = 1000


def forget_old(connection: sqlite3.Connection, limits: StoreLimits, *, now: datetime) -> int:
    """Apply the limits of age; return how many messages became dead letters."""
    expired = 0
    if limits.event_expiry_s is not None:
        before = (now - timedelta(seconds=limits.event_expiry_s)).isoformat()
        expired = _expire(connection, before, now)
    oldest = (now - timedelta(days=limits.history_days)).isoformat()
    # The oldest stand first: looking at a few of them is enough, and quick.
    for table, time in (
        ("event", "recorded_at"),
        ("dead", "dead_at"),
        ("feedback", "at"),
        ("acknowledgement", "at"),
    ):
        connection.execute(
            f"DELETE FROM {table} WHERE {time} < ? AND id IN "  # noqa: S608 - our own names
            f"(SELECT id FROM {table} ORDER BY id LIMIT {_FORGET_ROWS})",
            (oldest,),
        )
    connection.execute(
        "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?",
        (limits.history_events,),
    )
    return expired


def _expire(connection: sqlite3.Connection, before: str, now: datetime) -> int:
    """Make dead letters of episodes that are over and whose newest message is too old."""
    over = (
        "FROM outbox WHERE event_id IN (SELECT event_id FROM outbox "
        "WHERE event_id NOT IN (SELECT event_id FROM episode) "
        "GROUP BY event_id HAVING max(created_at) < ?)"
    )
    connection.execute(
        f"INSERT OR REPLACE INTO dead SELECT *, 'expired', ? {over}",
        (now.isoformat(), before),
    )
    return connection.execute(f"DELETE {over}", (before,)).rowcount


def make_room(connection: sqlite3.Connection, max_bytes: int) -> int:
    """Delete history, then samples, the oldest first; return how many samples went."""
    samples = 0
    for table, where in (("event", "1"), ("outbox", "is_sample")):
        while _used_bytes(connection) > max_bytes:
            deleted = connection.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} "  # noqa: S608 - ours
                f"WHERE {where} ORDER BY id LIMIT {_TRIM_ROWS})"
            ).rowcount
            if deleted == 0:
                break
            samples += deleted if table == "outbox" else 0
    return samples


def _used_bytes(connection: sqlite3.Connection) -> int:
    values = [
        number(connection.execute(f"PRAGMA {name}"))
        for name in ("page_count", "freelist_count", "page_size")
    ]
    return (values[0] - values[1]) * values[2]


def number(cursor: sqlite3.Cursor) -> int:
    """Return the one number that a query answers with."""
    ((number,),) = cursor.fetchall()
    return int(number)
