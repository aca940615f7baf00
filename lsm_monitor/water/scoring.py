"""How good alarms are: counted per flood, not per picture.

An alarm is the moment at which it begins: that is when somebody is called. It belongs to the
flood that it begins in, or to the nearest one within ``slack_s``, because nobody labels to the
second. A flood whose first alarm begins nowhere near it is missed, also when an alarm from
before is still open: an alarm that never ends would otherwise find every flood.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lsm_monitor.types import WaterLevel, ZoneReading
from lsm_monitor.water.state import WaterRules, ZoneMachine

_DAY_S = 86_400.0
_ORDER = tuple(WaterLevel)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Seconds of video, ``from_s`` up to ``to_s``."""

    from_s: float
    to_s: float

    def distance_s(self, time_s: float) -> float:
        """Return how far ``time_s`` is from it; 0 inside."""
        return max(self.from_s - time_s, time_s - self.to_s, 0.0)


@dataclass(frozen=True, slots=True)
class TimedReading:
    """One moment of one zone: ``reading`` is ``None`` when nothing could be judged."""

    time_s: float
    reading: ZoneReading | None


@dataclass(frozen=True, slots=True)
class EventScore:
    """What alarms were worth. Scores of several videos may be added.

    Attributes:
        floods: Labelled ones.
        hits: Those with an alarm.
        false_alarms: Alarms without a flood.
        repeats: Further alarms of a flood that had one.
        watched_s: Time of video.
        delays_s: For each hit, from the flood's begin to its first alarm; not below 0.
    """

    floods: int = 0
    hits: int = 0
    false_alarms: int = 0
    repeats: int = 0
    watched_s: float = 0.0
    delays_s: tuple[float, ...] = ()

    def __add__(self, other: EventScore) -> EventScore:
        """Return the score of both."""
        return EventScore(
            self.floods + other.floods,
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.repeats + other.repeats,
            self.watched_s + other.watched_s,
            self.delays_s + other.delays_s,
        )

    @property
    def misses(self) -> int:
        """Floods without an alarm."""
        return self.floods - self.hits

    @property
    def camera_days(self) -> float:
        """Time of video, in days of one camera."""
        return self.watched_s / _DAY_S

    @property
    def false_alarms_per_camera_day(self) -> float:
        """How often somebody is called for nothing; 0 where nothing was watched."""
        return self.false_alarms / self.camera_days if self.watched_s else 0.0

    def delay_s(self, share: float) -> float | None:
        """Return within what time the alarm came for ``share`` of the hits; none: ``None``."""
        if not self.delays_s:
            return None
        rank = max(1, math.ceil(share * len(self.delays_s)))
        return sorted(self.delays_s)[rank - 1]


def score_alarms(
    alarms_s: Iterable[float], floods: Sequence[Span], *, watched_s: float, slack_s: float
) -> EventScore:
    """Return what alarms that begin at ``alarms_s`` are worth.

    Args:
        alarms_s: Their times.
        floods: What was labelled; they do not overlap.
        watched_s: Time of video.
        slack_s: How far from a flood its alarm may begin.
    """
    first_s: dict[Span, float] = {}
    false_alarms = repeats = 0
    for alarm_s in sorted(alarms_s):
        # Of two that touch, the later one: an alarm begins with its flood.
        flood = min(
            floods, key=lambda each: (each.distance_s(alarm_s), -each.from_s), default=None
        )
        if flood is None or flood.distance_s(alarm_s) > slack_s:
            false_alarms += 1
        elif flood in first_s:
            repeats += 1
        else:
            first_s[flood] = alarm_s
    return EventScore(
        floods=len(floods),
        hits=len(first_s),
        false_alarms=false_alarms,
        repeats=repeats,
        watched_s=watched_s,
        delays_s=tuple(max(0.0, at_s - flood.from_s) for flood, at_s in first_s.items()),
    )


def alarm_spans(
    timed: Iterable[TimedReading], rules: WaterRules, level: WaterLevel = WaterLevel.PONDING
) -> list[Span]:
    """Return from when to when a zone is at or above ``level``.

    A zone that cannot be seen stays what it was, as its episode does. With ``ponding`` these
    are the times from ``open`` to ``close``.

    Args:
        timed: The zone, in the order of time.
        rules: How it is judged.
        level: At least ``ponding``.
    """
    machine = ZoneMachine(rules)
    least = _ORDER.index(level)
    spans: list[Span] = []
    since_s: float | None = None
    time_s = 0.0
    for each in timed:
        time_s = each.time_s
        machine.tick(time_s)
        if each.reading is not None:
            machine.observe(each.reading)
        if machine.level is WaterLevel.UNKNOWN:
            continue
        is_alarm = _ORDER.index(machine.level) >= least
        if is_alarm and since_s is None:
            since_s = time_s
        elif not is_alarm and since_s is not None:
            spans.append(Span(since_s, time_s))
            since_s = None
    return spans if since_s is None else [*spans, Span(since_s, time_s)]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return ``spans`` with those that overlap or touch as one: a camera's, from its zones'."""
    result: list[Span] = []
    for span in sorted(spans):
        if result and span.from_s <= result[-1].to_s:
            result[-1] = Span(result[-1].from_s, max(result[-1].to_s, span.to_s))
        else:
            result.append(span)
    return result
