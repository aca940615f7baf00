"""Readings of one camera out of the history's file, as few as a picture can show.

Reads on a connection of its own, beside the thread that writes. Each stretch of time comes
from the coarsest tier that is fine enough for it; where that one has nothing yet, or no more,
from the next finer or coarser one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lsm_monitor.errors import StoreError
from lsm_monitor.history.history_file import DamagedHistoryError
from lsm_monitor.history.tiers import (
    LEVELS,
    RAW,
    TIERS,
    Reading,
    Tier,
    from_ms,
    require_version,
    to_ms,
)
from lsm_monitor.sqlite_file import connect_read_only, is_damage
from lsm_monitor.types import CameraId, ZoneId

_PART = """
SELECT zone.zone AS zone_id, t.slot * {slot_ms} + t.offset_ms AS at_ms, t.fraction_e4,
    coalesce(t.max_e4, t.fraction_e4) AS max_e4, t.level, t.depth_mm
FROM (WITH RECURSIVE slots (slot) AS (
        SELECT {first} UNION ALL SELECT slot + 1 FROM slots WHERE slot < {last})
      SELECT slot FROM slots) AS s
CROSS JOIN zone
CROSS JOIN {table} AS t ON t.slot = s.slot AND t.zone = zone.id
WHERE zone.camera = :camera AND at_ms >= {begin_ms} AND at_ms < {end_ms}
"""
_READINGS = """
SELECT zone_id, min(at_ms), avg(fraction_e4), max(max_e4), max(level), max(depth_mm)
FROM ({parts}) GROUP BY zone_id, (at_ms - :start_ms) / :step_ms
ORDER BY zone_id, min(at_ms)
"""


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of time that comes from one tier."""

    tier: Tier
    begin_ms: int
    end_ms: int

    def query(self) -> str:
        return _PART.format(
            table=self.tier.name,
            slot_ms=self.tier.slot_ms,
            first=self.begin_ms // self.tier.slot_ms,
            last=(self.end_ms - 1) // self.tier.slot_ms,
            begin_ms=self.begin_ms,
            end_ms=self.end_ms,
        )


def read(
    path: Path,
    camera_id: CameraId,
    start: datetime,
    end: datetime,
    max_points: int | None = None,
) -> dict[ZoneId, list[Reading]]:
    """Return the readings of a camera's zones from ``start`` to before ``end``.

    Args:
        path: The history's file; when it is not there, there are no readings.
        camera_id: Key of the camera, also of one that is not watched any more.
        start: Timezone-aware.
        end: Timezone-aware.
        max_points: Most readings of a zone: neighbours are put together; ``None``: all there
            are, as fine as they are kept.

    Returns:
        The readings of each zone that has any, oldest first.

    Raises:
        ValueError: ``end`` is not after ``start``, or ``max_points`` is below 1.
        DamagedHistoryError: The file is damaged.
        StoreError: It cannot be read.
    """
    span_ms = to_ms(end) - to_ms(start)
    if span_ms <= 0 or (max_points is not None and max_points < 1):
        msg = f"'end' must be after 'start', and 'points' at least 1; got {max_points} points"
        raise ValueError(msg)
    if not path.exists():
        return {}
    step_ms = 1 if max_points is None else -(-span_ms // max_points)
    with _opened(path) as connection:
        parts = _parts(connection, to_ms(start), to_ms(end), step_ms)
        rows = _rows(connection, parts, camera_id, to_ms(start), step_ms)
    result: dict[ZoneId, list[Reading]] = {}
    for zone_id, at_ms, fraction_e4, max_e4, level, depth_mm in rows:
        reading = Reading(
            at=from_ms(at_ms),
            fraction=None if fraction_e4 is None else round(fraction_e4 / 1e4, 4),
            fraction_max=None if max_e4 is None else max_e4 / 1e4,
            level=LEVELS[level],
            depth_cm=None if depth_mm is None else depth_mm / 10,
        )
        result.setdefault(ZoneId(zone_id), []).append(reading)
    return result


def cameras(path: Path) -> list[CameraId]:
    """Return whose readings are kept, sorted; also of cameras that are not watched any more.

    Raises:
        DamagedHistoryError: The file is damaged.
        StoreError: It cannot be read, or is not there.
    """
    with _opened(path) as connection:
        rows = connection.execute("SELECT DISTINCT camera FROM zone ORDER BY camera").fetchall()
    return [CameraId(name) for (name,) in rows]


def _rows(
    connection: sqlite3.Connection,
    parts: list[_Part],
    camera_id: CameraId,
    start_ms: int,
    step_ms: int,
) -> list[tuple[str, int, float | None, int | None, int, int | None]]:
    if not parts:
        return []
    query = _READINGS.format(parts=" UNION ALL ".join(part.query() for part in parts))
    values = {"camera": camera_id, "start_ms": start_ms, "step_ms": step_ms}
    return connection.execute(query, values).fetchall()


def _parts(
    connection: sqlite3.Connection, start_ms: int, end_ms: int, step_ms: int
) -> list[_Part]:
    """Return from which tier each stretch comes, oldest first."""
    kept = [_kept(connection, tier) for tier in TIERS]
    wanted = max(i for i, tier in enumerate(TIERS) if tier.step_ms <= step_ms)
    parts: list[_Part] = []
    begin_ms = start_ms
    for i, tier in reversed(list(enumerate(TIERS))):
        first_ms, until_ms = kept[i] or (0, 0)
        if i > wanted:  # too coarse: only for what is not there any finer
            until_ms = min(until_ms, *(finer[0] for finer in kept[:i] if finer), end_ms)
        part = _Part(tier, max(begin_ms, first_ms), min(end_ms, until_ms))
        if part.begin_ms < part.end_ms:
            parts.append(part)
            begin_ms = part.end_ms
    return parts


def _kept(connection: sqlite3.Connection, tier: Tier) -> tuple[int, int] | None:
    """Return from when to when a tier has all that the finer one had; ``None``: no rows."""
    ((first, last),) = connection.execute(
        f"SELECT (SELECT min(slot) FROM {tier.name}), (SELECT max(slot) FROM {tier.name})"  # noqa: S608 - our own names
    ).fetchall()
    if first is None:
        return None
    until_ms = (last + 1) * tier.slot_ms
    if tier is not RAW:
        finer = TIERS[TIERS.index(tier) - 1]
        ((due,),) = connection.execute("SELECT slot FROM due WHERE tier = ?", (finer.name,))
        until_ms = min(until_ms, due * finer.slot_ms)
    return first * tier.slot_ms, until_ms


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            require_version(connection)
            connection.execute("BEGIN")  # all queries see the same file
            yield connection
    except (sqlite3.Error, OSError) as exc:
        text = f"history {path}: cannot be read ({exc})"
        if isinstance(exc, sqlite3.Error) and is_damage(exc):
            raise DamagedHistoryError(text) from exc
        raise StoreError(text) from exc
