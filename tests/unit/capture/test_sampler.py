from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.sampler import Sampler


def kept(times_s: list[float], interval_s: float, phase: float = 0.0) -> list[float]:
    sampler = Sampler(interval_s, phase)
    result = []
    for time_s in times_s:
        if sampler.is_due(time_s):
            sampler.keep(time_s)
            result.append(time_s)
    return result


gaps_s = st.lists(st.floats(0.0, 4.0), max_size=300)


phases = st.floats(0.0, 1.0, exclude_max=True)


@given(gaps=gaps_s, interval_s=st.floats(0.1, 20.0), phase=phases)
def test_two_kept_pictures_are_never_closer_than_four_tenths_of_the_interval(
    gaps: list[float], interval_s: float, phase: float
) -> None:
    times = kept(list(itertools.accumulate(gaps, initial=0.0)), interval_s, phase)
    for earlier, later in itertools.pairwise(times):
        assert later - earlier >= 0.4 * interval_s - 1e-9


@given(
    gaps=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=400),
    interval_s=st.floats(2.0, 20.0),
    start_s=st.floats(0.0, 1e6),
    phase=phases,
)
def test_a_camera_that_is_fast_enough_is_kept_once_per_interval_whatever_its_rate(
    gaps: list[float], interval_s: float, start_s: float, phase: float
) -> None:
    times = list(itertools.accumulate(gaps, initial=start_s))
    expected = (times[-1] - times[0]) / interval_s
    assert abs(len(kept(times, interval_s, phase)) - expected) <= 2


@pytest.mark.parametrize(
    ("gop_s", "interval_s", "pictures_in_1000_s"),
    [
        pytest.param(0.04, 10.0, 100, id="25 pictures per second"),
        pytest.param(4.0, 10.0, 100, id="interval is no multiple of the key frames"),
        pytest.param(10.0, 10.0, 100, id="one key frame per interval"),
        pytest.param(25.0, 10.0, 40, id="fewer key frames than intervals: all are kept"),
        pytest.param(1 / 3, 1.0, 1000, id="thirds add up without drift"),
    ],
)
def test_the_rate_does_not_drift(
    gop_s: float, interval_s: float, pictures_in_1000_s: int
) -> None:
    times = [k * gop_s for k in range(round(1000 / gop_s))]
    assert len(kept(times, interval_s)) == pytest.approx(pictures_in_1000_s, abs=1)


def test_a_key_frame_a_little_early_is_not_worth_a_whole_interval() -> None:
    assert kept([0.0, 9.99, 20.01, 29.99], 10.0) == [0.0, 9.99, 20.01, 29.99]


def test_after_a_pause_the_next_picture_is_kept_at_once_and_the_rhythm_goes_on() -> None:
    assert kept([0.0, 38.0, 40.0, 44.0, 46.0, 50.0], 10.0) == [0.0, 38.0, 44.0, 50.0]


def test_a_due_picture_that_was_not_kept_leaves_the_next_one_due() -> None:
    sampler = Sampler(10.0)
    sampler.keep(0.0)
    assert sampler.is_due(10.0)
    assert sampler.is_due(10.1)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_s must be above 0"):
        Sampler(0.0)


@pytest.mark.parametrize(
    ("phase", "times_s"),
    [
        pytest.param(0.2, [0, 4, 11, 21, 31], id="soon: not closer than half an interval"),
        pytest.param(0.7, [0, 6, 16, 26, 36], id="late"),
    ],
)
def test_the_grid_begins_at_its_phase_and_the_first_picture_waits_for_nothing(
    phase: float, times_s: list[float]
) -> None:
    assert kept([float(second) for second in range(40)], 10.0, phase) == times_s
