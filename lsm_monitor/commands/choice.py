"""Which of many settings to propose, and whether to propose anything at all.

The rule: of the settings with at most so many false alarms per camera-day, the one that misses
the fewest floods; of these the one whose alarms come earliest (median), then the one with the
fewest false alarms and repeats, then the one that changes the fewest keys.

The best of hundreds of settings looks better than it is. So the same rule also chooses without
each video in turn and is scored on that video (``held_out``); what does worse there than the
present settings is not proposed. And too few floods are no ground to choose on: with n floods
and none missed, the true share of missed ones may still be 3/n (95 %).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lsm_monitor.commands.sweep import Trial, Values
from lsm_monitor.water.scoring import EventScore

LEAST_FLOODS = 10
LEAST_VIDEOS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """What came of choosing.

    Attributes:
        now: The present settings.
        best: The chosen setting; ``None`` when none keeps to the limit.
        held_out: Score of the rule on videos that it did not see.
        refusal: Why nothing is proposed; ``None`` when ``best`` is.
    """

    now: Trial
    best: Trial | None
    held_out: EventScore
    refusal: str | None

    @property
    def is_now(self) -> bool:
        """Whether nothing better than the present settings was found."""
        return self.best is not None and self.best.values == self.now.values


def choose(
    trials: Sequence[Trial],
    now: Values,
    *,
    max_false_alarms: float,
    least_floods: int = LEAST_FLOODS,
) -> Choice:
    """Choose among ``trials``.

    Args:
        trials: Every setting that was tried; the present one is among them.
        now: The present one.
        max_false_alarms: Limit, per camera-day.
        least_floods: So many are needed, in :data:`LEAST_VIDEOS` videos at least.
    """
    present = next(trial for trial in trials if trial.values == now)
    best = _best(trials, present, max_false_alarms, lambda trial: trial.total)
    videos = len(present.scores)
    held_out = EventScore()
    for index in range(videos):
        others = (*range(index), *range(index + 1, videos))

        def without(trial: Trial, others: Sequence[int] = others) -> EventScore:
            return sum((trial.scores[other] for other in others), EventScore())

        chosen = _best(trials, present, max_false_alarms, without) or present
        held_out += chosen.scores[index]
    refusal = _refusal(present, best, held_out, max_false_alarms, least_floods)
    return Choice(present, best, held_out, refusal)


def _best(
    trials: Sequence[Trial],
    present: Trial,
    max_false_alarms: float,
    score_of: Callable[[Trial], EventScore],
) -> Trial | None:
    def rank(trial: Trial) -> tuple[float, ...]:
        score = score_of(trial)
        delay_s = score.delay_s(0.5)
        changes = sum(present.values[key] != value for key, value in trial.values.items())
        return (
            score.misses,
            math.inf if delay_s is None else delay_s,
            score.false_alarms,
            score.repeats,
            changes,
        )

    allowed = (
        trial
        for trial in trials
        if score_of(trial).false_alarms_per_camera_day <= max_false_alarms
    )
    return min(allowed, key=rank, default=None)


def _refusal(
    present: Trial,
    best: Trial | None,
    held_out: EventScore,
    max_false_alarms: float,
    least_floods: int,
) -> str | None:
    score = present.total
    flooded = sum(each.floods > 0 for each in present.scores)
    if score.floods < least_floods or flooded < LEAST_VIDEOS:
        return (
            f"too few labels to choose on: {score.floods} floods in {flooded} videos; label at "
            f"least {least_floods} floods in {LEAST_VIDEOS} videos"
        )
    if best is None:
        return (
            f"no setting keeps to {max_false_alarms:g} false alarms per camera-day; allow more "
            "(--max-false-alarms), draw the zones closer, or retrain the model"
        )
    if best.values == present.values:
        return "the present settings are the best of those that were tried"
    limit = max(max_false_alarms, score.false_alarms_per_camera_day)
    if held_out.misses > score.misses or held_out.false_alarms_per_camera_day > limit:
        return (
            f"the best setting fits these videos only: on videos that it was not chosen on it "
            f"misses {held_out.misses} of {held_out.floods} floods with "
            f"{held_out.false_alarms} false alarms, the present one {score.misses} with "
            f"{score.false_alarms}; label more videos"
        )
    return None
