from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.types import DepthInterval, Trend, WaterLevel, WaterTrend
from lsm_monitor.water.trend import Track, TrendRules, TrendWatch, theil_sen
from tests.unit.water.scenes import DRY, FLOODED, PONDING, RULES, WET, reading_at

TREND = TrendRules()
BANDS = RULES.bands()


def level_at(fraction: float) -> WaterLevel:
    reached = [level for level, band in BANDS.items() if fraction >= band.enter]
    return reached[-1] if reached else DRY


def follow(
    fraction_at: Callable[[float], float],
    *,
    to_s: float,
    every_s: float = 10.0,
    rules: TrendRules = TREND,
) -> list[WaterTrend | None]:
    """Return the trend after each reading of a zone whose water follows a function."""
    watch = TrendWatch(rules, BANDS)
    trends = []
    for t_s in np.arange(0.0, to_s, every_s):
        fraction = float(np.clip(fraction_at(float(t_s)), 0.0, 1.0))
        reading = replace(
            reading_at(float(t_s), fraction),
            area_m2=200 * fraction,
            depth=DepthInterval(50 * fraction, 50 * fraction + 4, "gauge:pole"),
        )
        trends.append(watch.observe(reading, level_at(fraction)))
    return trends


def ramp(pp_per_min: float, begin: float = 0.1) -> Callable[[float], float]:
    return lambda t_s: begin + pp_per_min / 100 * t_s / 60


@given(
    slope=st.floats(-10.0, 10.0),
    offset=st.floats(-100.0, 100.0),
    times=st.lists(st.integers(0, 900), min_size=5, max_size=40, unique=True).map(sorted),
)
def test_the_slope_of_a_straight_line_is_exact_and_certain(
    slope: float, offset: float, times: list[int]
) -> None:
    times_s = np.array(times, float)
    found = theil_sen(times_s, offset + slope * times_s / 60)
    assert found is not None
    for each in (found.per_min, found.low_per_min, found.high_per_min):
        assert each == pytest.approx(slope, abs=1e-6)
    assert found.window_s == times[-1] - times[0]


@given(data=st.data(), slope=st.floats(-5.0, 5.0))
def test_a_quarter_of_the_readings_may_be_nonsense(data: st.DataObject, slope: float) -> None:
    times_s = np.arange(0.0, 300.0, 10.0)
    values = slope * times_s / 60
    wrong = data.draw(st.lists(st.integers(0, 29), max_size=7, unique=True))
    values[wrong] = data.draw(st.sampled_from([0.0, 100.0, -100.0]))
    found = theil_sen(times_s, values)
    assert found is not None
    assert found.per_min == pytest.approx(slope, abs=1e-6)


def test_the_interval_holds_the_true_slope_about_nine_times_in_ten() -> None:
    rng = np.random.default_rng(1)
    times_s = np.arange(0.0, 300.0, 10.0)
    held = 0
    for _ in range(500):
        found = theil_sen(times_s, 2.0 * times_s / 60 + rng.normal(0, 3.0, 30))
        assert found is not None
        held += found.low_per_min <= 2.0 <= found.high_per_min
    assert 0.86 <= held / 500 <= 0.95


def test_four_readings_are_too_few() -> None:
    assert theil_sen(np.arange(4.0), np.arange(4.0)) is None


@pytest.mark.parametrize("every_s", [0.2, 1.0, 10.0, 60.0])
def test_a_track_is_bounded_and_the_same_at_any_frame_rate(every_s: float) -> None:
    track = Track(TREND)
    for t_s in np.arange(0.0, 3600.0, every_s):
        track.add(float(t_s), 3.0 * float(t_s) / 60)
    assert len(track._bins) <= 91
    slope = track.slope(3600.0, 900.0)
    assert slope is not None
    assert slope.per_min == pytest.approx(3.0)
    assert 800.0 <= slope.window_s <= 900.0


def test_a_clock_that_jumps_back_starts_a_track_afresh() -> None:
    track = Track(TREND)
    for t_s in (1000.0, 1100.0, 1200.0, 1300.0, 0.0):
        track.add(t_s, t_s)
    assert track.slope(100.0, 900.0) is None


@pytest.mark.parametrize("pp_per_min", [2.0, 0.5, 0.0, -0.5, -2.0])
def test_rates_are_told_in_every_unit_that_is_known(pp_per_min: float) -> None:
    trend = follow(ramp(pp_per_min, begin=0.45), to_s=1000.0)[-1]
    assert trend is not None
    assert trend.pp_per_min == pytest.approx(pp_per_min, abs=1e-6)
    assert trend.m2_per_min == pytest.approx(2.0 * pp_per_min, abs=1e-6)
    assert trend.cm_per_min == pytest.approx(0.5 * pp_per_min, abs=1e-6)
    assert (
        trend.direction
        is [Trend.FALLING, Trend.STEADY, Trend.RISING][int(np.sign(pp_per_min)) + 1]
    )


def test_without_gauge_and_ground_there_is_only_the_rate_of_the_share() -> None:
    watch, trend = TrendWatch(TREND, BANDS), None
    for t_s in range(0, 600, 10):
        trend = watch.observe(reading_at(float(t_s), 0.1 + t_s / 3000), PONDING)
    assert trend is not None
    assert (trend.cm_per_min, trend.m2_per_min) == (None, None)
    assert trend.pp_per_min == pytest.approx(2.0)


def test_water_above_the_highest_mark_has_no_rate_of_depth_whatever_it_was_before() -> None:
    watch, trend = TrendWatch(TREND, BANDS), None
    for t_s in range(0, 820, 10):
        is_above = t_s > 600  # where the gauge ends, and there the water stays
        depth = DepthInterval(60.0, None if is_above else 62.0, "gauge:pole")
        if not is_above:
            depth = DepthInterval(t_s / 10, t_s / 10 + 2, "gauge:pole")
        fraction = min(0.6, 0.1 + t_s / 1200)
        reading = replace(reading_at(float(t_s), fraction), depth=depth)
        trend = watch.observe(reading, level_at(fraction))
        assert trend is not None or t_s <= 60
        if trend is not None and t_s <= 600:
            assert trend.cm_per_min == pytest.approx(6.0)
    assert trend is not None
    assert trend.cm_per_min is None


def test_nothing_is_claimed_in_the_first_minute() -> None:
    trends = follow(ramp(2.0), to_s=70.0)
    assert trends[:6] == [None] * 6
    assert trends[-1] is not None


def test_a_change_of_pace_is_noticed_in_the_short_window_and_settles_in_the_long_one() -> None:
    trends = follow(lambda t_s: 0.1 + max(0.0, t_s - 1200) / 60 * 0.02, to_s=2400.0)
    before, soon, late = trends[119], trends[145], trends[-1]
    assert before is not None
    assert soon is not None
    assert late is not None
    directions = [before.direction, soon.direction, late.direction]
    assert directions == [Trend.STEADY, Trend.RISING, Trend.RISING]
    windows_s = [before.window_s, soon.window_s, late.window_s]
    assert windows_s == pytest.approx([890, 290, 890], abs=20)
    assert late.pp_per_min == pytest.approx(2.0)


def test_noise_around_a_level_is_steady_and_never_flaps() -> None:
    noise = iter(np.random.default_rng(3).normal(0.0, 0.01, 1000))
    trends = follow(lambda _: 0.3 + next(noise), to_s=7200.0)
    known = [trend.direction for trend in trends[90:] if trend]
    assert known.count(Trend.STEADY) / len(known) > 0.9


def test_rising_goes_on_at_a_rate_at_which_it_would_not_have_begun() -> None:
    def slowing(t_s: float) -> float:
        return ramp(1.0)(t_s) if t_s < 900 else ramp(1.0)(900.0) + 0.0022 * (t_s - 900) / 60

    begun = follow(slowing, to_s=2700.0)[-1]
    never = follow(ramp(0.22), to_s=2700.0)[-1]
    assert begun is not None
    assert never is not None
    assert begun.pp_per_min == pytest.approx(never.pp_per_min, abs=0.02)
    assert (begun.direction, never.direction) == (Trend.RISING, Trend.STEADY)


@pytest.mark.parametrize(
    ("pp_per_min", "begin", "level", "eta_s"),
    [
        pytest.param(1.0, 0.0, PONDING, 60 * (8.0 - 5.0), id="up-to-ponding"),
        pytest.param(1.0, 0.2, FLOODED, 0.0, id="at-the-threshold-waiting-for-the-dwell"),
        pytest.param(2.0, 0.1, FLOODED, 60 * (25.0 - 20.0) / 2, id="up-to-flooded"),
        pytest.param(-1.0, 0.35, PONDING, 60 * (30.0 - 18.0), id="down-to-ponding"),
        pytest.param(-1.0, 0.1, WET, 60 * (5.0 - 4.0), id="down-to-wet"),
        pytest.param(0.0, 0.3, None, None, id="steady"),
        pytest.param(4.0, 0.5, None, None, id="nothing-is-worse-than-severe"),
    ],
)
def test_the_time_to_the_next_level_is_the_way_over_the_rate(
    pp_per_min: float, begin: float, level: WaterLevel | None, eta_s: float | None
) -> None:
    watch, trend = TrendWatch(TREND, BANDS), None
    for t_s in range(0, 301, 10):
        fraction = ramp(pp_per_min, begin)(t_s)
        is_ponding = level is FLOODED and fraction >= 0.08
        trend = watch.observe(
            reading_at(float(t_s), fraction),
            PONDING if is_ponding or level is WET else level_at(fraction),
        )
    assert trend is not None
    if level is None:
        assert trend.next_level is None
        return
    assert trend.next_level is not None
    assert trend.next_level.level is level
    assert trend.next_level.eta_s_min == pytest.approx(eta_s, abs=2.0)
    assert trend.next_level.eta_s_max == pytest.approx(eta_s, abs=2.0)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_interval_of_the_time_is_in_order_and_open_when_it_may_never_come(
    seed: int,
) -> None:
    noise = iter(np.random.default_rng(seed).normal(0.0, 0.01, 60))
    for trend in follow(lambda t_s: ramp(0.8)(t_s) + next(noise), to_s=600.0):
        if trend is None or trend.next_level is None:
            continue
        eta = trend.next_level
        assert eta.eta_s_min >= 0.0
        assert eta.eta_s_max is None or eta.eta_s_max >= eta.eta_s_min


def test_a_rapid_rise_needs_a_full_window_and_ends_at_half_the_rate() -> None:
    trends = follow(ramp(8.0, begin=0.0), to_s=420.0)
    rapid = [trend is not None and trend.is_rapid for trend in trends]
    assert not any(rapid[:24])
    assert all(rapid[25:])
    eased = follow(
        lambda t_s: ramp(6.0, 0.0)(min(t_s, 400)) + ramp(3.0, 0.0)(max(0.0, t_s - 400)),
        to_s=1200.0,
    )
    assert eased[-1] is not None
    assert eased[-1].is_rapid
    assert not any(t is not None and t.is_rapid for t in follow(ramp(3.0), to_s=1200.0))


def test_a_single_step_is_no_rapid_rise() -> None:
    trends = follow(lambda t_s: 0.0 if t_s < 600 else 0.6, to_s=1500.0)
    assert not any(trend is not None and trend.is_rapid for trend in trends)
