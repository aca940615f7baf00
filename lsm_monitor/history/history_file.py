"""The history's file as the daemon writes it: batches, downsampling, and its limits.

One transaction per batch, without waiting for the disk: a power cut may cost the last
readings, never the file.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from lsm_monitor.errors import StoreError
from lsm_monitor.history.tiers import (
    LEVELS,
    RAW,
    TIERS,
    HistoryLimits,
    Tier,
    ZoneSample,
    create,
    require_version,
    to_ms,
)
from lsm_monitor.sqlite_file import PARTS, is_damage

logger = logging.getLogger(__name__)

_BUSY_TIMEOUT_S = 5.0
_WAL_KEEP_BYTES = 4 * 1024 * 1024
_RESERVE_BYTES = 32 * 1024 * 1024
"""So much of the disk is left to the events."""
_SETTLED_MS = 30_000
"""A slot is put together so long after its end; what comes later has it done again."""
_GIVE_UP_SHARE = 10
"""Of the largest tier, one in so many slots goes when the file is too large."""

_ROLL_UP = """
INSERT OR REPLACE INTO {coarse}
SELECT slot * {slot_ms} / {coarse_slot_ms}, zone, slot * {slot_ms} % {coarse_slot_ms},
    round(avg(fraction_e4)),
    nullif(max(coalesce(max_e4, fraction_e4)), round(avg(fraction_e4))),
    max(level), max(depth_mm)
FROM {fine} WHERE slot >= ? AND slot < ? GROUP BY slot, zone
"""


class DamagedHistoryError(StoreError):
    """The file is damaged, or is not SQLite's."""


class HistoryFile:
    """A file of this version that can be written; see :meth:`open`. Not thread-safe."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._zones: dict[tuple[str, str], int] = {}
        self._tidied_minute = -1

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> HistoryFile:
        """Open the file, or make a new one; a damaged one is set aside.

        Raises:
            StoreError: It cannot be used; the text says what to do.
        """
        with _translated(path):
            try:
                return cls(_connect(path), path)
            except sqlite3.DatabaseError as exc:
                if not is_damage(exc):
                    raise
                set_aside(path, now=now, why=str(exc))
                return cls(_connect(path), path)

    def write(
        self, batch: Sequence[ZoneSample], *, limits: HistoryLimits, now: datetime
    ) -> None:
        """Store a batch whole or not at all; once a minute, tidy up with it.

        Raises:
            DamagedHistoryError: The file is damaged; close it and set it aside.
            StoreError: The disk refuses, or has hardly any room left.
        """
        self._leave_room()
        now_ms = to_ms(now)
        is_due = now_ms // RAW.slot_ms != self._tidied_minute
        try:
            with _translated(self._path), self._connection as connection:
                connection.execute("BEGIN IMMEDIATE")
                self._insert(batch)
                if is_due:
                    _roll_up(connection, now_ms)
                    _forget_old(connection, limits, now_ms)
                    _make_room(connection, limits.max_bytes)
        except StoreError:
            self._zones.clear()  # what was new in there is not in the file
            raise
        if is_due:
            self._tidied_minute = now_ms // RAW.slot_ms

    def close(self) -> None:
        """Close the file; it cannot be used afterwards."""
        self._connection.close()

    def _leave_room(self) -> None:
        with _translated(self._path):
            free_bytes = shutil.disk_usage(self._path.parent).free
        if free_bytes < _RESERVE_BYTES:
            msg = (
                f"history {self._path}: only {free_bytes >> 20} MiB of the disk are free, and "
                "are left to the events; make room, or lower 'store.readings.max_mb'"
            )
            raise StoreError(msg)

    def _insert(self, batch: Sequence[ZoneSample]) -> None:
        rows = [self._row(sample) for sample in batch]
        if not rows:
            return
        self._connection.executemany(
            "INSERT OR REPLACE INTO raw VALUES (?, ?, ?, ?, ?, ?, ?)", rows
        )
        _make_due(self._connection, RAW, min(row[0] for row in rows))

    def _row(
        self, sample: ZoneSample
    ) -> tuple[int, int, int, int | None, None, int, int | None]:
        reading = sample.reading
        slot, offset_ms = divmod(to_ms(reading.at), RAW.slot_ms)
        fraction_e4 = None if reading.fraction is None else round(reading.fraction * 1e4)
        depth_mm = None if reading.depth_cm is None else round(reading.depth_cm * 10)
        level = LEVELS.index(reading.level)
        return slot, self._zone(sample), offset_ms, fraction_e4, None, level, depth_mm

    def _zone(self, sample: ZoneSample) -> int:
        key = (sample.camera_id, sample.zone_id)
        if key not in self._zones:
            ((self._zones[key],),) = self._connection.execute(
                "INSERT INTO zone (camera, zone) VALUES (?, ?) ON CONFLICT (camera, zone) "
                "DO UPDATE SET zone = excluded.zone RETURNING id",
                key,
            ).fetchall()
        return self._zones[key]


def set_aside(path: Path, *, now: datetime, why: str) -> None:
    """Rename a damaged file to ``<name>.corrupt-<now>``; only the newest is kept.

    It may be large, and there is no alert in it: a second one is not worth the room.

    Raises:
        StoreError: The disk refuses.
    """
    aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}")
    with _translated(path):
        for old in path.parent.glob(f"{path.name}.corrupt-*"):
            old.unlink()
        for suffix in PARTS:
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
    logger.error("history %s: damaged (%s); kept as %s, begun anew", path, why, aside.name)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.NotSupportedError as exc:
        msg = f"history {path}: {exc}; install the version that wrote it, or move it away"
        raise StoreError(msg) from exc
    except (OSError, sqlite3.Error) as exc:
        text = f"history {path}: {exc}"
        if isinstance(exc, sqlite3.Error) and is_damage(exc):
            raise DamagedHistoryError(text) from exc
        msg = f"{text}; check that the disk is neither full nor read-only"
        raise StoreError(msg) from exc


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    with contextlib.ExitStack() as on_error:
        on_error.callback(connection.close)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            create(connection)
        require_version(connection)
        on_error.pop_all()
    return connection


def _make_due(connection: sqlite3.Connection, tier: Tier, slot: int) -> None:
    connection.execute(
        "INSERT INTO due VALUES (?, ?) "
        "ON CONFLICT (tier) DO UPDATE SET slot = min(slot, excluded.slot)",
        (tier.name, slot),
    )


def _roll_up(connection: sqlite3.Connection, now_ms: int) -> None:
    """Put together what is complete: each slot of a tier is one row per zone of the next."""
    for fine, coarse in pairwise(TIERS):
        end = (now_ms - _SETTLED_MS) // fine.slot_ms
        due = connection.execute("SELECT slot FROM due WHERE tier = ?", (fine.name,)).fetchone()
        if due is None or due[0] >= end:
            continue
        roll_up = _ROLL_UP.format(
            fine=fine.name,
            coarse=coarse.name,
            slot_ms=fine.slot_ms,
            coarse_slot_ms=coarse.slot_ms,
        )
        connection.execute(roll_up, (due[0], end))
        connection.execute("UPDATE due SET slot = ? WHERE tier = ?", (end, fine.name))
        _make_due(connection, coarse, due[0] * fine.slot_ms // coarse.slot_ms)


def _forget_old(connection: sqlite3.Connection, limits: HistoryLimits, now_ms: int) -> None:
    for tier in TIERS:
        oldest = (now_ms - limits.kept_ms(tier)) // tier.slot_ms
        connection.execute(f"DELETE FROM {tier.name} WHERE slot < ?", (oldest,))  # noqa: S608 - our own names


def _make_room(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Delete from the largest tier, the oldest first, until the rest is small enough."""
    while _used_bytes(connection) > max_bytes:
        table = max((tier.name for tier in TIERS), key=lambda name: _rows(connection, name))
        if not _rows(connection, table):
            break
        connection.execute(
            f"DELETE FROM {table} WHERE slot <= (SELECT min(slot) + "  # noqa: S608 - our own names
            f"(max(slot) - min(slot)) / {_GIVE_UP_SHARE} FROM {table})"
        )


def _rows(connection: sqlite3.Connection, table: str) -> int:
    return _number(connection, f"SELECT count(*) FROM {table}")  # noqa: S608 - our own names


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages = _number(connection, "PRAGMA page_count")
    free = _number(connection, "PRAGMA freelist_count")
    return (pages - free) * _number(connection, "PRAGMA page_size")


def _number(connection: sqlite3.Connection, query: str) -> int:
    ((number,),) = connection.execute(query).fetchall()
    return int(number)
