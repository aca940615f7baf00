"""Which way the water goes, and how fast: robust slopes over minutes.

The slope is Theil and Sen's, the median of the slopes between all pairs of readings: a third
of them may be wrong and it does not care. Its interval is Sen's, from the ranks of these
slopes. Readings are averaged into bins first, so that memory and time are bounded whatever
the frame rate; smoothing makes neighbouring readings alike, which makes the interval a
little too narrow.

Two windows: the long one is the more precise, the short one notices a change first. The long
one is believed while its slope lies within the short one's interval.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsm_monitor.types import NextLevel, Trend, WaterLevel, WaterTrend, ZoneReading
from lsm_monitor.water.state import LevelBand

_BINS_PER_WINDOW = 30
_MIN_BINS = 5
_MIN_SHARE = 0.2
"""A window must be filled to this share of its length, in time, to have a slope."""
_FULL_SHARE = 0.8
_NORMAL_90 = 1.645  # two-sided 90 %
_LEAVE = 0.5
"""Hysteresis: rising and rapid end at this share of the rate at which they begin."""
_PP = 100.0


@dataclass(frozen=True, slots=True)
class TrendRules:
    """How a trend is judged.

    Attributes:
        short_s: Length of the window that notices a change first.
        long_s: Length of the window that is more precise; at most six times ``short_s``.
        moving_pp_per_min: Rate from which water rises or falls.
        rapid_pp_per_min: Rate from which it rises dangerously fast.
    """

    short_s: float = 300.0
    long_s: float = 900.0
    moving_pp_per_min: float = 0.3
    rapid_pp_per_min: float = 5.0


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope per minute with its 90 % interval, and the time it rests on in seconds."""

    per_min: float
    low_per_min: float
    high_per_min: float
    window_s: float


def theil_sen(
    times_s: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> Slope | None:
    """Return the slope of ``values`` over ``times_s``, or ``None`` for too few of them.

    Args:
        times_s: (n,) rising.
        values: (n,) finite.
    """
    count = len(values)
    if count < _MIN_BINS:
        return None
    first, second = np.triu_indices(count, k=1)
    slopes = np.sort((values[second] - values[first]) / (times_s[second] - times_s[first]) * 60)
    spread = _NORMAL_90 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low = max(0, math.floor((len(slopes) - spread) / 2))
    return Slope(
        per_min=float(np.median(slopes)),
        low_per_min=float(slopes[low]),
        high_per_min=float(slopes[-1 - low]),
        window_s=float(times_s[-1] - times_s[0]),
    )


class Track:
    """The last readings of one quantity, averaged into bins. Bounded.

    Args:
        rules: Lengths of the two windows.
    """

    def __init__(self, rules: TrendRules) -> None:
        self._rules = rules
        self._bin_s = rules.short_s / _BINS_PER_WINDOW
        bins = math.ceil(rules.long_s / self._bin_s) + 1
        # Of each bin: its number, readings in it, the sums of their times and values.
        self._bins: deque[tuple[int, int, float, float]] = deque(maxlen=bins)

    def add(self, mono_s: float, value: float) -> None:
        """Take in a reading. A clock that jumps backwards starts the track afresh."""
        number = math.floor(mono_s / self._bin_s)
        if self._bins and number < self._bins[-1][0]:
            self._bins.clear()
        count, time_sum_s, value_sum = 0, 0.0, 0.0
        if self._bins and number == self._bins[-1][0]:
            _, count, time_sum_s, value_sum = self._bins.pop()
        self._bins.append((number, count + 1, time_sum_s + mono_s, value_sum + value))

    def slope(self, now_s: float, window_s: float) -> Slope | None:
        """Return the slope of the last ``window_s``, or ``None`` without enough readings.

        Nor is there one when the newest of them is old: water above the highest mark has no
        depth, and how fast it rose until then says nothing about now.
        """
        means = [(time_s / n, value / n) for _, n, time_s, value in self._bins]
        recent = np.array([each for each in means if each[0] >= now_s - window_s])
        if len(recent) < _MIN_BINS or recent[-1, 0] - recent[0, 0] < _MIN_SHARE * window_s:
            return None
        if now_s - recent[-1, 0] > _MIN_SHARE * window_s:
            return None
        return theil_sen(recent[:, 0], recent[:, 1])


class TrendWatch:
    """The trend of one zone.

    Args:
        rules: See :class:`TrendRules`.
        bands: Band of each level above ``dry``, lowest first.
    """

    def __init__(self, rules: TrendRules, bands: dict[WaterLevel, LevelBand]) -> None:
        self._rules = rules
        self._bands = bands
        self._fraction_pp, self._depth_cm, self._area_m2 = (Track(rules) for _ in range(3))
        self._direction = Trend.STEADY
        self._is_rapid = False

    def observe(self, reading: ZoneReading, level: WaterLevel) -> WaterTrend | None:
        """Take in a reading and return the trend, or ``None`` while there are too few.

        Args:
            reading: Of a usable frame.
            level: The zone's level after it.
        """
        now_s = reading.stamp.decoded_mono_s
        self._fraction_pp.add(now_s, _PP * reading.water_fraction)
        if reading.area_m2 is not None:
            self._area_m2.add(now_s, reading.area_m2)
        if reading.depth is not None and reading.depth.max_cm is not None:
            self._depth_cm.add(now_s, (reading.depth.min_cm + reading.depth.max_cm) / 2)
        short = self._fraction_pp.slope(now_s, self._rules.short_s)
        long = self._fraction_pp.slope(now_s, self._rules.long_s)
        slope, window_s = self._chosen(short, long)
        if slope is None:
            self._direction, self._is_rapid = Trend.STEADY, False
            return None
        self._direction = self._direction_by(slope)
        # Danger does not wait for the median of five minutes: the last third of it.
        quick = self._fraction_pp.slope(now_s, self._rules.short_s / 3)
        # But an alarm of its own does not come in the first minutes after a start or a gap.
        is_settled = short is not None and short.window_s >= _FULL_SHARE * self._rules.short_s
        self._is_rapid = is_settled and self._rapid_by(quick or slope)
        return WaterTrend(
            direction=self._direction,
            pp_per_min=slope.per_min,
            cm_per_min=_rate(self._depth_cm.slope(now_s, window_s)),
            m2_per_min=_rate(self._area_m2.slope(now_s, window_s)),
            window_s=slope.window_s,
            is_rapid=self._is_rapid,
            next_level=self._next_level(level, reading.water_fraction, slope),
        )

    def _chosen(self, short: Slope | None, long: Slope | None) -> tuple[Slope | None, float]:
        """Return the slope to believe, and the length of its window."""
        if long is not None and (
            short is None or short.low_per_min <= long.per_min <= short.high_per_min
        ):
            return long, self._rules.long_s
        return short, self._rules.short_s

    def _direction_by(self, slope: Slope) -> Trend:
        for direction, rate in ((Trend.RISING, slope.per_min), (Trend.FALLING, -slope.per_min)):
            is_going_on = self._direction is direction
            limit = self._rules.moving_pp_per_min * (_LEAVE if is_going_on else 1.0)
            # The whole interval on one side: noise around a level is steady.
            is_sure = slope.low_per_min * slope.high_per_min > 0
            if rate >= limit and (is_sure or is_going_on):
                return direction
        return Trend.STEADY

    def _rapid_by(self, slope: Slope) -> bool:
        limit = self._rules.rapid_pp_per_min * (_LEAVE if self._is_rapid else 1.0)
        return slope.per_min >= limit and slope.low_per_min > 0

    def _next_level(self, level: WaterLevel, fraction: float, slope: Slope) -> NextLevel | None:
        order = [WaterLevel.DRY, *self._bands]
        if self._direction is Trend.STEADY or level not in order:
            return None
        at = order.index(level)
        if self._direction is Trend.RISING:
            if level is order[-1]:
                return None
            goal, sign = order[at + 1], 1.0
            way_pp = _PP * (self._bands[goal].enter - fraction)
        else:
            if level is WaterLevel.DRY:
                return None
            goal, sign = order[at - 1], -1.0
            way_pp = _PP * (fraction - self._bands[level].leave)
        # Towards the goal; the faster of the two is, or the water would be steady.
        slow, fast = sorted((sign * slope.low_per_min, sign * slope.high_per_min))
        way_pp = max(0.0, way_pp)
        return NextLevel(
            level=goal,
            eta_s_min=60 * way_pp / fast,
            eta_s_max=60 * way_pp / slow if slow > 0 else None,
        )


def _rate(slope: Slope | None) -> float | None:
    return None if slope is None else slope.per_min
