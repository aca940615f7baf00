"""How the outbox's file is opened, made new, brought up to date, or set aside.

A damaged file is never deleted. What can still be read of it is carried over into a new one,
which takes its name only when it is complete.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import datetime
from pathlib import Path

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.outbox_salvage import salvage
from lsm_monitor.publish.outbox_schema import (
    SCHEMA_VERSION,
    create,
    migrate,
    require_version,
)
from lsm_monitor.sqlite_file import PARTS, connect_read_only, is_damage

logger = logging.getLogger(__name__)

OUTBOX_FILE = "outbox.sqlite3"
"""Its name in the state folder."""
_BUSY_TIMEOUT_S = 5.0
_WAL_KEEP_BYTES = 4 * 1024 * 1024


class NewerStoreError(StoreError):
    """The file is of a later version of this software; it is left alone."""


def open_connection(path: Path, *, now: datetime) -> sqlite3.Connection:
    """Return a connection to a sound outbox file of this version, made new if there is none.

    A file that SQLite cannot read is renamed to ``<name>.corrupt-<now>`` and kept.

    Raises:
        NewerStoreError: The file is of a later version.
        StoreError: The file cannot be used; the text says what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if _fresh(path).exists() and not path.exists():
            _fresh(path).rename(path)  # killed in the middle of _replace()
        try:
            return _connect(path)
        except _NotADatabaseError as exc:
            return _replace(path, now, exc)
    except sqlite3.NotSupportedError as exc:
        msg = f"outbox {path}: {exc}; install the version that wrote it, or move it away"
        raise NewerStoreError(msg) from exc
    except (OSError, sqlite3.Error) as exc:
        msg = (
            f"outbox {path}: cannot be opened ({exc}); check that the folder exists, that "
            "the daemon's user may write to it, and that the disk is not full"
        )
        raise StoreError(msg) from exc


def open_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads, also from a folder where nothing can be written.

    Raises:
        StoreError: There is no sound outbox of this version.
    """
    try:
        connection = connect_read_only(path)
        try:
            version, _ = _sound(connection)
            require_version(version, SCHEMA_VERSION)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as exc:
        msg = f"outbox {path}: cannot be read ({exc})"
        raise StoreError(msg) from exc
    return connection


class _NotADatabaseError(sqlite3.DatabaseError):
    """The file is damaged, or is not SQLite's."""


def _connect(path: Path) -> sqlite3.Connection:
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
    version, tables = _sound(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
    if (version, tables) == (0, 0):
        create(connection)
    elif version != SCHEMA_VERSION:
        migrate(connection, version)


def _sound(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the version of a sound file and how many tables it has."""
    try:
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as exc:
        if is_damage(exc):
            raise _NotADatabaseError(str(exc)) from exc
        raise
    if verdict != "ok":
        raise _NotADatabaseError(verdict)
    return version, tables


def _fresh(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _replace(path: Path, now: datetime, exc: sqlite3.Error) -> sqlite3.Connection:
    """Set a damaged file aside; return a new one with what could still be read of it."""
    fresh = _fresh(path)
    for suffix in PARTS:
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    connection = _connect(fresh)
    try:
        saved = salvage(path, connection)
    finally:
        connection.close()
    aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}")
    for suffix in PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    fresh.rename(path)
    logger.error(
        "outbox %s: unreadable (%s); kept as %s; carried over from it: %d messages and %d "
        "open episodes",
        path,
        exc,
        aside.name,
        saved["outbox"],
        saved["episode"],
    )
    return _connect(path)
