"""What every SQLite file of the state folder has in common."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_PRIMARY_CODE = 0xFF  # SQLite's extended codes carry the primary one in their low byte.
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
PARTS = ("-wal", "-shm", "")
"""Suffixes of the files that are one database; the main one last."""


def is_damage(exc: sqlite3.Error) -> bool:
    """Return whether the file is damaged, or is not SQLite's."""
    # Errors of Python's own module have no code.
    return getattr(exc, "sqlite_errorcode", 0) & _PRIMARY_CODE in _DAMAGED


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads, also from a folder where nothing can be written.

    Raises:
        sqlite3.Error: There is no such file, or nobody can read it.
        OSError: Its folder cannot be looked into.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    log = path.with_name(path.name + "-wal")
    try:
        return _connect(address)
    except sqlite3.OperationalError:
        # SQLite wants to make a file beside it, for which there is no need when nobody
        # is writing: then there is no log.
        if log.exists() and log.stat().st_size:
            raise
        return _connect(f"{address}&immutable=1")


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False
    )
    with contextlib.ExitStack() as on_error:
        on_error.callback(connection.close)
        connection.execute("PRAGMA user_version").fetchall()  # only now is the file opened
        on_error.pop_all()
    return connection
