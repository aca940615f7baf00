"""What the history keeps, for how long, and in which tables.

A tier is a table. Its rows lie by slot of time first and by zone second, so that a batch of
all zones goes into few pages, what is too old is one range at the beginning, and the rows of
one zone in one slot become one row of the next tier.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lsm_monitor.types import CameraId, WaterLevel, ZoneId

SCHEMA_VERSION = 1
LEVELS = (
    WaterLevel.UNKNOWN,
    WaterLevel.DRY,
    WaterLevel.WET,
    WaterLevel.PONDING,
    WaterLevel.FLOODED,
    WaterLevel.SEVERE,
)
"""A level's place is what the file holds: the worst of several is the largest."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was believed about a zone at one time, or over a short while.

    Attributes:
        at: Time of the picture, timezone-aware UTC, in milliseconds; of several readings
            that were put together, the beginning.
        fraction: Smoothed water fraction, [0, 1], to 0.0001; of several, their mean. ``None``
            while the zone could not be seen.
        fraction_max: The largest of them.
        level: The worst of them; ``unknown`` only when all were.
        depth_cm: Middle of the depth interval, or its lower end when it has no upper one; of
            several, the largest. ``None`` when no gauge could be read.
    """

    at: datetime
    fraction: float | None
    fraction_max: float | None
    level: WaterLevel
    depth_cm: float | None


@dataclass(frozen=True, slots=True)
class ZoneSample:
    """A reading on its way to the file."""

    camera_id: CameraId
    zone_id: ZoneId
    reading: Reading


@dataclass(frozen=True, slots=True)
class Tier:
    """One table.

    Attributes:
        name: Of the table.
        step_ms: Time that one row stands for; 0: one reading.
        slot_ms: Time over which a zone's rows lie together; the step of the next tier.
    """

    name: str
    step_ms: int
    slot_ms: int


RAW = Tier("raw", 0, 60_000)
MINUTE = Tier("minute", 60_000, 900_000)
QUARTER_HOUR = Tier("quarter_hour", 900_000, 86_400_000)
TIERS = (RAW, MINUTE, QUARTER_HOUR)
"""From the finest to the coarsest."""


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How long each tier is kept, in seconds, and how large the file may become."""

    raw_s: float = 48 * 3600.0
    minute_s: float = 30 * 86400.0
    quarter_hour_s: float = 730 * 86400.0
    max_bytes: int = 1024**3

    def kept_ms(self, tier: Tier) -> int:
        """Return how long the rows of ``tier`` are kept."""
        kept_s = {RAW: self.raw_s, MINUTE: self.minute_s, QUARTER_HOUR: self.quarter_hour_s}
        return int(kept_s[tier] * 1000)


# Small numbers are small in SQLite's files: fractions are kept as 1/10000, depths as mm, and
# the maximum only where it is not the fraction itself.
_TIER = """
CREATE TABLE {name} (
    slot INTEGER NOT NULL,
    zone INTEGER NOT NULL,
    offset_ms INTEGER NOT NULL,
    fraction_e4 INTEGER,
    max_e4 INTEGER,
    level INTEGER NOT NULL,
    depth_mm INTEGER,
    PRIMARY KEY (slot, zone, offset_ms)
) WITHOUT ROWID
"""
_ZONE = """
CREATE TABLE zone (
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    zone TEXT NOT NULL,
    UNIQUE (camera, zone)
)
"""
# The first slot of a tier that the next one does not have yet.
_DUE = "CREATE TABLE due (tier TEXT PRIMARY KEY, slot INTEGER NOT NULL)"


def create(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty file."""
    connection.execute("PRAGMA journal_mode = WAL")
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (_ZONE, _DUE, *(_TIER.format(name=tier.name) for tier in TIERS)):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def require_version(connection: sqlite3.Connection) -> None:
    """Do nothing if the file is of this version.

    Raises:
        sqlite3.NotSupportedError: It is not.
    """
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version != SCHEMA_VERSION:
        msg = f"its format is {version}, this version knows {SCHEMA_VERSION}"
        raise sqlite3.NotSupportedError(msg)


def to_ms(at: datetime) -> int:
    """Return milliseconds since 1970."""
    return (at - _EPOCH) // _MS


def from_ms(at_ms: int) -> datetime:
    """Return the time, UTC."""
    return _EPOCH + at_ms * _MS
