from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.types import EventKind, WaterEvent, WaterLevel
from lsm_monitor.water.scoring import (
    EventScore,
    Span,
    TimedReading,
    alarm_spans,
    merged,
    score_alarms,
)
from lsm_monitor.water.state import LevelBand
from tests.unit.water.scenes import BEGIN_S, RULES, at, judge_with, mask_at, reading_at

SLACK_S = 30.0


@st.composite
def floods(draw: st.DrawFn) -> list[Span]:
    """Floods in order; they may touch, and do not overlap."""
    steps = draw(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), max_size=6))
    ends = list(itertools.accumulate(itertools.chain.from_iterable(steps)))
    return [Span(float(a), float(b)) for a, b in zip(ends[::2], ends[1::2], strict=True)]


times_s = st.lists(st.integers(-100, 7000).map(float), max_size=12)


def score(alarms_s: list[float], labelled: list[Span]) -> EventScore:
    return score_alarms(alarms_s, labelled, watched_s=7000.0, slack_s=SLACK_S)


@given(floods())
def test_alarms_that_begin_with_each_flood_are_perfect(labelled: list[Span]) -> None:
    result = score([flood.from_s for flood in labelled], labelled)
    assert (result.misses, result.false_alarms, result.repeats) == (0, 0, 0)
    assert set(result.delays_s) <= {0.0}


@given(times_s, floods())
def test_every_alarm_is_a_hit_a_repeat_or_false(
    alarms_s: list[float], labelled: list[Span]
) -> None:
    result = score(alarms_s, labelled)
    assert result.hits + result.repeats + result.false_alarms == len(alarms_s)
    assert 0 <= result.misses <= result.floods == len(labelled)
    assert len(result.delays_s) == result.hits


@given(times_s, floods(), st.integers(-1000, 1000))
def test_only_times_relative_to_the_floods_count(
    alarms_s: list[float], labelled: list[Span], shift: int
) -> None:
    moved = [Span(flood.from_s + shift, flood.to_s + shift) for flood in labelled]
    assert score([t_s + shift for t_s in alarms_s], moved) == score(alarms_s, labelled)


@given(times_s, floods(), st.integers(-100, 7000))
def test_one_alarm_more_never_misses_more(
    alarms_s: list[float], labelled: list[Span], extra_s: int
) -> None:
    before, after = score(alarms_s, labelled), score([*alarms_s, float(extra_s)], labelled)
    assert after.misses <= before.misses
    assert after.false_alarms >= before.false_alarms


@given(times_s, floods(), times_s, floods())
def test_scores_of_videos_add_up(
    one: list[float], one_flooded: list[Span], other: list[float], other_flooded: list[Span]
) -> None:
    total = score(one, one_flooded) + score(other, other_flooded)
    assert total.floods == len(one_flooded) + len(other_flooded)
    assert total.watched_s == 14_000.0
    assert total + EventScore() == total


def test_an_alarm_that_never_ends_finds_one_flood_and_not_the_next() -> None:
    labelled = [Span(100.0, 200.0), Span(5000.0, 5100.0)]
    result = score([90.0], labelled)
    assert (result.hits, result.misses, result.false_alarms) == (1, 1, 0)


def test_rates_and_delays_are_per_camera_day_and_per_hit() -> None:
    labelled = [Span(1000.0 * n, 1000.0 * n + 100) for n in range(1, 6)]
    alarms_s = [1010.0, 2020.0, 3030.0, 4040.0, 6500.0]
    result = score_alarms(alarms_s, labelled, watched_s=43_200.0, slack_s=0.0)
    assert (result.misses, result.false_alarms_per_camera_day) == (1, 2.0)
    assert (result.delay_s(0.5), result.delay_s(0.9)) == (20.0, 40.0)
    assert EventScore().delay_s(0.5) is None


shares = st.lists(st.sampled_from([0.0, 0.015, 0.03, 0.06, 0.1, 0.2, 0.3, 0.6]), max_size=60)


def timed(fractions: list[float]) -> list[TimedReading]:
    """One reading per 10 s; where the share is 0.015 nothing can be judged."""
    return [
        TimedReading(
            BEGIN_S + 10.0 * n,
            None if share == 0.015 else reading_at(10.0 * n, share),
        )
        for n, share in enumerate(fractions)
    ]


def alarm_seconds(spans: list[Span]) -> set[float]:
    """Return the moments at which there is an alarm."""
    return {
        t_s
        for span in spans
        for t_s in (BEGIN_S + 10.0 * n for n in range(61))
        if span.from_s <= t_s < span.to_s
    }


@settings(deadline=None)
@given(shares, st.sampled_from([0.05, 0.08, 0.12]), st.sampled_from([0.12, 0.16, 0.2]))
def test_a_higher_threshold_alarms_at_no_moment_at_which_a_lower_one_does_not(
    fractions: list[float], lower: float, higher: float
) -> None:
    seen = timed(fractions)
    low, high = (
        alarm_seconds(alarm_spans(seen, replace(RULES, ponding=LevelBand(enter, 0.04))))
        for enter in (lower, higher)
    )
    assert high <= low


@settings(deadline=None)
@given(shares, st.sampled_from([0.0, 10.0, 30.0]), st.sampled_from([0.0, 20.0, 90.0]))
def test_a_longer_dwell_alarms_at_no_moment_at_which_a_shorter_one_does_not(
    fractions: list[float], open_for_s: float, more_s: float
) -> None:
    seen = timed(fractions)
    short, long = (
        alarm_seconds(alarm_spans(seen, replace(RULES, open_for_s=dwell_s)))
        for dwell_s in (open_for_s, open_for_s + more_s)
    )
    assert long <= short


@settings(deadline=None)
@given(shares)
def test_alarms_are_where_the_judge_opens_and_closes_episodes(fractions: list[float]) -> None:
    judge = judge_with()
    told: list[WaterEvent] = []
    for n, share in enumerate(fractions):
        told += judge.observe(mask_at(10.0 * n, share)).events
    seen = [
        TimedReading(BEGIN_S + 10.0 * n, reading_at(10.0 * n, s))
        for n, s in enumerate(fractions)
    ]
    spans = alarm_spans(seen, RULES)
    opened = [event.observed_at for event in told if event.kind is EventKind.OPEN]
    closed = [event.observed_at for event in told if event.kind is EventKind.CLOSE]
    assert [at(span.from_s - BEGIN_S) for span in spans] == opened
    assert [at(span.to_s - BEGIN_S) for span in spans][: len(closed)] == closed


def test_a_flood_that_cannot_be_seen_for_a_while_is_one_alarm() -> None:
    wet = [TimedReading(t_s, reading_at(t_s - BEGIN_S, 0.1)) for t_s in range(1000, 1100, 10)]
    blind = [TimedReading(float(t_s), None) for t_s in range(1100, 1400, 10)]
    again = [TimedReading(t_s, reading_at(t_s - BEGIN_S, 0.1)) for t_s in range(1400, 1500, 10)]
    assert alarm_spans([*wet, *blind, *again], RULES) == [Span(1030, 1490)]


def test_the_level_that_alarms_can_be_a_higher_one() -> None:
    seen = timed([0.1] * 10 + [0.3] * 10)
    (span,) = alarm_spans(seen, RULES, WaterLevel.FLOODED)
    assert span.from_s == BEGIN_S + 120.0  # level_up_for_s after it began


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([Span(5, 9), Span(0, 5)], [Span(0, 9)]),
        ([Span(0, 9), Span(2, 3), Span(11, 12)], [Span(0, 9), Span(11, 12)]),
    ],
    ids=["none", "touching", "inside and apart"],
)
def test_alarms_of_a_cameras_zones_become_one(spans: list[Span], expected: list[Span]) -> None:
    assert merged(spans) == expected
