from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.commands.choice import LEAST_FLOODS, choose
from lsm_monitor.commands.sweep import Trial
from lsm_monitor.water.scoring import EventScore

DAY_S = 86_400.0
NOW = {"open_for_s": 30.0}


def score(hits: int, false_alarms: int, delay_s: float = 30.0) -> EventScore:
    """Return a day with five floods."""
    return EventScore(5, hits, false_alarms, 0, DAY_S, (delay_s,) * hits)


def trial(open_for_s: float, *scores: EventScore) -> Trial:
    return Trial({"open_for_s": open_for_s}, scores)


def test_the_fewest_misses_win_then_the_earliest_alarm_within_the_limit() -> None:
    present = trial(30.0, *[score(4, 0)] * 3)
    eager = trial(1.0, *[score(5, 9, 1.0)] * 3)
    good = trial(20.0, *[score(5, 0, 20.0)] * 3)
    better = trial(10.0, *[score(5, 0, 10.0)] * 3)
    trials = [present, eager, good, better]
    assert choose(trials, NOW, max_false_alarms=0.5).best is better
    assert choose(trials, NOW, max_false_alarms=9.0).best is eager
    assert choose(trials, NOW, max_false_alarms=0.5).refusal is None


def test_too_few_floods_or_videos_are_refused_with_what_is_needed() -> None:
    few = [trial(30.0, score(4, 0)), trial(10.0, score(5, 0))]
    refusal = choose(few, NOW, max_false_alarms=0.5).refusal
    assert refusal is not None
    assert "5 floods in 1 videos; label at least 10 floods in 3 videos" in refusal
    assert LEAST_FLOODS == 10
    dry = replace(score(0, 0), floods=0)
    two = [trial(t_s, score(t_s < 30, 0), score(5, 0), dry) for t_s in (30.0, 10.0)]
    assert "in 2 videos" in (choose(two, NOW, max_false_alarms=0.5).refusal or "")


def test_what_fits_only_the_videos_it_was_chosen_on_is_not_proposed() -> None:
    """Each of three settings is blind on one video: the one that the others cannot show."""
    present = trial(30.0, *[score(4, 0)] * 3)
    lucky = [
        trial(10.0 + n, *(score(0 if video == n else 5, 0) for video in range(3)))
        for n in range(3)
    ]
    best = trial(5.0, score(5, 0), score(5, 0), score(3, 0))
    choice = choose([present, *lucky, best], NOW, max_false_alarms=0.5)
    assert choice.best is best
    assert choice.refusal is not None
    assert "fits these videos only" in choice.refusal
    assert choice.held_out.misses > present.total.misses


def test_when_nothing_keeps_to_the_limit_that_is_said() -> None:
    choice = choose([trial(30.0, *[score(5, 3)] * 3)], NOW, max_false_alarms=0.5)
    assert choice.best is None
    assert "no setting keeps to 0.5 false alarms" in (choice.refusal or "")


def test_the_present_settings_are_kept_when_none_is_better() -> None:
    trials = [trial(t_s, *[score(5, 0)] * 3) for t_s in (10.0, 30.0)]
    choice = choose(trials, NOW, max_false_alarms=0.5)
    assert choice.is_now


scores = st.builds(score, st.integers(0, 5), st.integers(0, 3), st.floats(0, 100))


@settings(deadline=None)
@given(st.lists(st.tuples(scores, scores, scores), min_size=1, max_size=6), st.floats(0, 3))
def test_the_choice_keeps_to_the_limit_and_none_within_it_misses_less(
    table: list[tuple[EventScore, ...]], limit: float
) -> None:
    trials = [trial(30.0 + n, *row) for n, row in enumerate(table)]
    choice = choose(trials, NOW, max_false_alarms=limit)
    within = [t for t in trials if t.total.false_alarms_per_camera_day <= limit]
    least = min((t.total.misses for t in within), default=math.inf)
    assert (choice.best is None) == (not within)
    if choice.best is not None:
        assert choice.best in within
        assert choice.best.total.misses == least
    assert choice.held_out.floods == 15
