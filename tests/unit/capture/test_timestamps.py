from __future__ import annotations

import itertools
import math
import operator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lsm_monitor.capture.timestamps import (
    MAX_DISCARDED_IN_A_ROW,
    MAX_JUMP_S,
    Timeline,
    TimestampGuard,
    Verdict,
)

GOOD, MISSING, NOT_RISING, BROKEN = Verdict


def judge(steps: list[tuple[float | None, float]]) -> list[Verdict]:
    guard = TimestampGuard()
    return [guard.check(pts_s, arrived_s) for pts_s, arrived_s in steps]


@pytest.mark.parametrize(
    ("steps", "verdicts"),
    [
        pytest.param([(0.0, 5.0), (1.0, 6.0), (2.0, 7.0)], [GOOD] * 3, id="a clean camera"),
        pytest.param([(None, 0.0)] * 20, [GOOD] * 20, id="a camera without any times"),
        pytest.param([(None, 0.0), (1.0, 1.0), (2.0, 2.0)], [GOOD] * 3, id="times come late"),
        pytest.param(
            [(1.0, 1.0), (None, 2.0), (3.0, 3.0)], [GOOD, MISSING, GOOD], id="one lost"
        ),
        pytest.param(
            [(1.0, 1.0), (1.0, 2.0), (0.5, 3.0), (4.0, 4.0)],
            [GOOD, NOT_RISING, NOT_RISING, GOOD],
            id="repeats and steps back",
        ),
        pytest.param([(1.0, 1.0), (40.0, 2.0)], [GOOD, BROKEN], id="jumps ahead"),
        pytest.param([(100.0, 1.0), (60.0, 2.0)], [GOOD, BROKEN], id="jumps back"),
        pytest.param([(0.0, 0.0), (60.0, 60.0)], [GOOD, GOOD], id="a key frame per minute"),
        pytest.param(
            [(0.0, 0.0), (1.0, 60.0)], [GOOD, BROKEN], id="time stood still for a minute"
        ),
        pytest.param(
            [(0.0, 0.0), (4.0, 0.01), (8.0, 0.02)], [GOOD] * 3, id="a burst after a hiccup"
        ),
    ],
)
def test_verdicts(steps: list[tuple[float | None, float]], verdicts: list[Verdict]) -> None:
    assert judge(steps) == verdicts


@given(st.floats(0.0, 3.0) | st.floats(1.2, 50.0), st.floats(0.1, 5.0))
def test_a_clock_that_runs_at_another_speed_is_found_out_and_a_real_one_never(
    speed: float, step_s: float
) -> None:
    assume(not 0.985 < speed < 1.015)
    # What is off adds up to a jump after this long, and some drift is forgiven on the way.
    found_s = 3 * (MAX_JUMP_S + step_s) / abs(speed - 1)
    times = [step_s * number for number in range(1, 3 + math.ceil(found_s / step_s))]
    assert BROKEN in judge([(speed * time_s, time_s) for time_s in times])


@given(st.floats(0.9905, 1.0095), st.floats(1.0, 20.0), st.lists(st.floats(0.0, 9.0)))
def test_a_clock_that_drifts_is_good_for_ever(
    speed: float, step_s: float, delays_s: list[float]
) -> None:
    times = [step_s * number for number in range(500)]
    delays_s = (delays_s + 500 * [0.0])[:500]
    arrivals = itertools.accumulate(map(operator.add, times, delays_s), max)
    judged = judge([(speed * t, a) for t, a in zip(times, arrivals, strict=True)])
    assert set(judged) == {GOOD}


def test_negative_times_are_times() -> None:
    assert judge([(-2.0, 0.0), (-1.0, 1.0), (0.5, 2.5)]) == [GOOD] * 3


@pytest.mark.parametrize("bad_pts_s", [None, 1.0])
def test_a_few_bad_pictures_are_discarded_and_too_many_break_the_timeline(
    bad_pts_s: float | None,
) -> None:
    verdicts = judge([(1.0, 1.0)] + [(bad_pts_s, 1.0)] * (MAX_DISCARDED_IN_A_ROW + 1))
    assert BROKEN not in verdicts[:-1]
    assert verdicts[-1] is BROKEN


@given(
    st.lists(st.tuples(st.none() | st.floats(-100.0, 100.0), st.floats(0.0, 10.0)), max_size=60)
)
def test_good_times_always_rise_and_never_jump(
    steps: list[tuple[float | None, float]],
) -> None:
    guard = TimestampGuard()
    good: list[tuple[float, float]] = []
    arrived_s = 0.0
    for pts_s, waited_s in steps:
        arrived_s += waited_s
        verdict = guard.check(pts_s, arrived_s)
        if verdict is BROKEN:
            break
        if verdict is GOOD and pts_s is not None:
            good.append((pts_s, arrived_s))
    for (earlier, arrived), (later, arrived_later) in itertools.pairwise(good):
        assert earlier < later
        assert abs((later - earlier) - (arrived_later - arrived)) <= MAX_JUMP_S


@given(st.lists(st.floats(0.001, 60.0), max_size=60), st.floats(0.0, 0.9))
def test_a_clean_timeline_is_never_touched_however_slow(
    gaps: list[float], delay_s: float
) -> None:
    times = list(itertools.accumulate(gaps, initial=0.0))
    delayed = itertools.accumulate(times, lambda a, b: max(a, b + delay_s))
    assert set(judge([*zip(times, delayed, strict=True)])) == {GOOD}


def test_the_timeline_goes_on_where_the_arrival_times_were() -> None:
    timeline = Timeline()
    times = [timeline.time_s(*step) for step in [(None, 50.0), (2.0, 51.0), (3.0, 52.9)]]
    assert times == [50.0, 51.0, 52.0]
