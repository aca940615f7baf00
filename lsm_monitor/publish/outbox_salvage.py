"""What can still be read of a damaged outbox.

Each table is read from both ends until SQLite stumbles. A row is taken only when it is whole:
a message whose bytes do not belong to its event would be worse than none.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from lsm_monitor.publish.outbox_schema import EPISODE

_MESSAGE = "id, event_id, seq, topic, payload, qos, retain, created_at"
_COLUMNS: Mapping[str, str] = {
    "outbox": f"{_MESSAGE}, is_sample",
    "episode": "event_id, content",
    "kept": "event_id, topic, payload, qos",
    "dead": f"{_MESSAGE}, is_sample, reason, dead_at",
    "event": "id, event_id, seq, event_type, camera, zone, level, recorded_at, payload",
    "feedback": "id, event_id, verdict, note, author, at",
    "acknowledgement": "id, event_id, author, at",
}
_TIMES = ("created_at", "dead_at", "recorded_at", "at")


def salvage(damaged: Path, into: sqlite3.Connection) -> dict[str, int]:
    """Copy every whole row of ``damaged`` into an empty outbox, all in one transaction.

    Returns:
        Number of rows by table; a table that cannot be read at all has 0.

    Raises:
        sqlite3.Error: ``into`` cannot be written.
    """
    saved = dict.fromkeys(_COLUMNS, 0)
    address = f"{damaged.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as source, into:
        into.execute("BEGIN IMMEDIATE")
        for table in _COLUMNS:
            for row in _readable(source, table):
                if _is_whole(row):
                    names, marks = ", ".join(row), ", ".join("?" * len(row))
                    saved[table] += into.execute(
                        f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608 - our own names
                        tuple(row.values()),
                    ).rowcount
    return saved


def _readable(source: sqlite3.Connection, table: str) -> Iterator[dict[str, object]]:
    for order in ("ASC", "DESC"):
        with contextlib.suppress(sqlite3.DatabaseError):
            # A file of an earlier version has fewer columns.
            present = {info[1] for info in source.execute(f"PRAGMA table_info({table})")}
            names = [name for name in _COLUMNS[table].split(", ") if name in present]
            if names:
                query = f"SELECT {', '.join(names)} FROM {table} ORDER BY rowid {order}"  # noqa: S608 - our own names
                for row in source.execute(query):
                    yield dict(zip(names, row, strict=True))
            return


def _is_whole(row: Mapping[str, object]) -> bool:
    try:
        event_id = str(UUID(str(row["event_id"])))
        for name in _TIMES:
            if name in row:
                datetime.fromisoformat(str(row[name]))
        if "content" in row:
            return str(EPISODE.validate_json(str(row["content"])).event_id) == event_id
        payload = row.get("payload", b"")
        if isinstance(payload, bytes) and payload.startswith(b"{"):
            content: dict[str, object] = json.loads(payload)
            seq = row.get("seq", content["seq"])
            return {"event_id": event_id, "seq": seq}.items() <= content.items()
    except (ValueError, KeyError, ValidationError):
        return False
    return isinstance(payload, bytes) and (not payload or event_id.encode() in payload)
