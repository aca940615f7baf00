"""What is believed about one zone: levels with hysteresis, dwell and m-of-n frames.

Rule 1: everything that decides about a level stands in this file, in ``RISES`` and ``FALLS``.
Each arrow joins neighbouring levels and says what must have held, and for how long. Several
arrows may be followed at once, so a level can be skipped, but each of them must have held
its own time.

Only usable frames move a level. A frame that cannot be judged is absent, not dry; when none
came for ``stale_after_s``, the level is ``unknown``, which is neither high nor low. From
there the first usable frame leads back to the level of the open episode, or to dry or wet.

Times are monotonic seconds. When they jump backwards every dwell starts again, so a jump can
delay a level but never invent one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lsm_monitor.types import Episode, WaterLevel, ZoneReading


@dataclass(frozen=True, slots=True)
class LevelBand:
    """Hysteresis of one level: shares of the zone's pixels, ``leave`` < ``enter``."""

    enter: float
    leave: float


@dataclass(frozen=True, slots=True)
class WaterRules:
    """How one camera's zones are judged.

    Attributes:
        wet: Band of ``wet``; the bands rise in both numbers from here to ``severe``.
        ponding: Band of ``ponding``, the level that opens and closes an episode.
        flooded: Band of ``flooded``.
        severe: Band of ``severe``.
        open_for_s: Water must stay this long at ``ponding`` before an episode opens.
        level_up_for_s: A higher level must last this long inside an episode.
        close_for_s: A lower level must last this long, everywhere.
        stale_after_s: Without a usable frame for longer than this: ``unknown``.
        min_frames: m: so many of the last ``of_frames`` usable frames must each show
            ``ponding`` by themselves before an episode opens.
        of_frames: n: see ``min_frames``.
        update_every_s: Inside an episode, an event that tells of a lower level comes no
            sooner than this after the one before it.
    """

    wet: LevelBand
    ponding: LevelBand
    flooded: LevelBand
    severe: LevelBand
    open_for_s: float
    level_up_for_s: float
    close_for_s: float
    stale_after_s: float
    min_frames: int
    of_frames: int
    update_every_s: float = 0.0

    @property
    def wet_for_s(self) -> float:
        """Time from dry to wet: short, and never longer than it takes to open an episode."""
        return min(self.level_up_for_s, self.open_for_s)

    def bands(self) -> dict[WaterLevel, LevelBand]:
        """Return the band of each level above ``dry``."""
        return {
            WaterLevel.WET: self.wet,
            WaterLevel.PONDING: self.ponding,
            WaterLevel.FLOODED: self.flooded,
            WaterLevel.SEVERE: self.severe,
        }


@dataclass(frozen=True, slots=True)
class Arrow:
    """A step between neighbouring levels.

    Attributes:
        to: Level after the step.
        band: Level whose band decides: its ``enter`` when rising, ``leave`` when falling.
        for_s: How long the water must have been beyond it.
        needs_frames: Whether m of n single frames must agree.
    """

    to: WaterLevel
    band: WaterLevel
    for_s: Callable[[WaterRules], float]
    needs_frames: bool = False


_DRY, _WET, _PONDING = WaterLevel.DRY, WaterLevel.WET, WaterLevel.PONDING
_FLOODED, _SEVERE = WaterLevel.FLOODED, WaterLevel.SEVERE

RISES: Mapping[WaterLevel, Arrow] = {
    _DRY: Arrow(_WET, _WET, lambda rules: rules.wet_for_s),
    _WET: Arrow(_PONDING, _PONDING, lambda rules: rules.open_for_s, needs_frames=True),
    _PONDING: Arrow(_FLOODED, _FLOODED, lambda rules: rules.level_up_for_s),
    _FLOODED: Arrow(_SEVERE, _SEVERE, lambda rules: rules.level_up_for_s),
}
FALLS: Mapping[WaterLevel, Arrow] = {
    _SEVERE: Arrow(_FLOODED, _SEVERE, lambda rules: rules.close_for_s),
    _FLOODED: Arrow(_PONDING, _FLOODED, lambda rules: rules.close_for_s),
    _PONDING: Arrow(_WET, _PONDING, lambda rules: rules.close_for_s),
    _WET: Arrow(_DRY, _WET, lambda rules: rules.close_for_s),
}
EPISODE_LEVELS = frozenset({_PONDING, _FLOODED, _SEVERE})
"""Levels at which an episode is open."""


class ZoneMachine:
    """The level of one zone.

    Args:
        rules: Bands and dwells.
        episode: The zone's open episode after a restart: the machine begins at its level,
            or at ``unknown`` when it was stale; all dwells start again.
    """

    def __init__(self, rules: WaterRules, episode: Episode | None = None) -> None:
        self._rules = rules
        self._bands = rules.bands()
        self._level = WaterLevel.UNKNOWN
        # Where ``unknown`` leads back to, if anywhere.
        self._held: WaterLevel | None = None
        if episode is not None:
            self._held = episode.level
            self._level = WaterLevel.UNKNOWN if episode.is_stale else episode.level
        self._last_s: float | None = None
        # Since when the smoothed fraction has been at or above ``enter`` / below ``leave``.
        self._above_s: dict[WaterLevel, float] = {}
        self._below_s: dict[WaterLevel, float] = {}
        self._frames_at_ponding: deque[bool] = deque(maxlen=rules.of_frames)

    @property
    def level(self) -> WaterLevel:
        """The level now."""
        return self._level

    @property
    def is_pending(self) -> bool:
        """Whether a change of the level is under way: the time of an arrow is running."""
        rise, fall = RISES.get(self._level), FALLS.get(self._level)
        is_rising = rise is not None and rise.band in self._above_s
        return is_rising or (fall is not None and fall.band in self._below_s)

    def observe(self, reading: ZoneReading) -> None:
        """Take in a usable frame."""
        now_s = reading.stamp.decoded_mono_s
        if self._last_s is not None and now_s < self._last_s:
            self._start_dwells_again()
        self._last_s = now_s
        self._take_in(reading, now_s)
        if self._level is WaterLevel.UNKNOWN:
            is_wet = reading.water_fraction >= self._rules.wet.enter
            self._level = self._held or (_WET if is_wet else _DRY)
        else:
            # At most one direction moves: rising needs a fraction that falling forbids.
            self._level = self._follow(RISES, self._above_s, now_s)
            self._level = self._follow(FALLS, self._below_s, now_s)
        self._held = self._level if self._level in EPISODE_LEVELS else None

    def tick(self, mono_s: float, patience_s: float = 0.0) -> None:
        """Let time pass without a usable frame.

        Args:
            mono_s: Now.
            patience_s: Instead of ``stale_after_s``, if it is longer.
        """
        if self._last_s is None:
            self._last_s = mono_s
        if mono_s - self._last_s > max(self._rules.stale_after_s, patience_s):
            self._level = WaterLevel.UNKNOWN
            self._start_dwells_again()

    def is_above_opening(self) -> bool:
        """Return whether the newest frame left the zone at or above ponding's ``enter``."""
        return _PONDING in self._above_s

    def _take_in(self, reading: ZoneReading, now_s: float) -> None:
        for level, band in self._bands.items():
            for since_s, holds in (
                (self._above_s, reading.water_fraction >= band.enter),
                (self._below_s, reading.water_fraction < band.leave),
            ):
                if holds:
                    since_s.setdefault(level, now_s)
                else:
                    since_s.pop(level, None)
        shows_ponding = reading.instant_fraction >= self._rules.ponding.enter
        self._frames_at_ponding.append(shows_ponding)

    def _follow(
        self,
        arrows: Mapping[WaterLevel, Arrow],
        since_s: Mapping[WaterLevel, float],
        now_s: float,
    ) -> WaterLevel:
        level = self._level
        while level in arrows and self._holds(arrows[level], since_s, now_s):
            level = arrows[level].to
        return level

    def _holds(self, arrow: Arrow, since_s: Mapping[WaterLevel, float], now_s: float) -> bool:
        if arrow.band not in since_s:
            return False
        agreed = sum(self._frames_at_ponding) >= self._rules.min_frames
        lasted_s = now_s - since_s[arrow.band]
        return lasted_s >= arrow.for_s(self._rules) and (agreed or not arrow.needs_frames)

    def _start_dwells_again(self) -> None:
        self._above_s.clear()
        self._below_s.clear()
        self._frames_at_ponding.clear()
