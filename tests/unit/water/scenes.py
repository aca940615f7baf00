"""Masks, readings and rules for the water tests: a zone whose wet share is chosen freely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from lsm_monitor.types import (
    CameraId,
    Episode,
    FrameStamp,
    WaterLevel,
    WaterMask,
    ZoneId,
    ZoneReading,
)
from lsm_monitor.water.judge import CameraJudge
from lsm_monitor.water.state import LevelBand, WaterRules
from lsm_monitor.water.zones import WHOLE_PICTURE

START = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE = CameraId("bridge")
RULES = WaterRules(
    wet=LevelBand(enter=0.02, leave=0.01),
    ponding=LevelBand(enter=0.08, leave=0.04),
    flooded=LevelBand(enter=0.25, leave=0.18),
    severe=LevelBand(enter=0.50, leave=0.40),
    open_for_s=30.0,
    level_up_for_s=15.0,
    close_for_s=120.0,
    stale_after_s=100.0,
    min_frames=3,
    of_frames=5,
)
DRY, WET, PONDING = WaterLevel.DRY, WaterLevel.WET, WaterLevel.PONDING
FLOODED, SEVERE, UNKNOWN = WaterLevel.FLOODED, WaterLevel.SEVERE, WaterLevel.UNKNOWN
# The clock of the tests does not begin at zero, as the real one does not.
BEGIN_S = 1000.0


def at(t_s: float) -> datetime:
    """Return the wall clock ``t_s`` seconds after the start of the test."""
    return START + timedelta(seconds=t_s)


def stamp_at(t_s: float, epoch: int = 0) -> FrameStamp:
    return FrameStamp(BRIDGE, epoch, 0, t_s, at(t_s), BEGIN_S + t_s)


def mask_at(t_s: float, wet_share: float, epoch: int = 0) -> WaterMask:
    """Return a mask of 10 x 100 pixels, of which ``wet_share`` are water with certainty."""
    probability = np.zeros(1000, np.float32)
    probability[: round(1000 * wet_share)] = 1.0
    return WaterMask(stamp_at(t_s, epoch), probability.reshape(10, 100), 0.5, 1.0)


def reading_at(t_s: float, fraction: float, instant: float | None = None) -> ZoneReading:
    instant_fraction = fraction if instant is None else instant
    return ZoneReading(stamp_at(t_s), ZoneId("full"), instant_fraction, fraction, 0.9)


def numbered_ids() -> Callable[[], UUID]:
    numbers = iter(range(1, 10_000))
    return lambda: UUID(int=next(numbers))


def judge_with(
    episodes: Iterable[Episode] = (),
    *,
    rules: WaterRules = RULES,
    new_event_id: Callable[[], UUID] | None = None,
) -> CameraJudge:
    """Return a judge of the whole picture that hardly smooths, so shares pass through."""
    return CameraJudge(
        camera_id=BRIDGE,
        zones=(WHOLE_PICTURE,),
        rules=rules,
        smoothing_s=0.001,
        new_event_id=new_event_id or numbered_ids(),
        episodes=episodes,
    )


def episode_at(level: WaterLevel, *, is_stale: bool = False, seq: int = 4) -> Episode:
    return Episode(
        event_id=UUID(int=77),
        camera_id=BRIDGE,
        zone_id=ZoneId("full"),
        seq=seq,
        level=level,
        is_stale=is_stale,
        opened_at=at(-3600.0),
        peak_fraction=0.3,
    )
