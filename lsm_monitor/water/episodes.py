"""From the states of one zone to the events of its episodes.

An episode runs from ``open`` to ``close`` and has one id; its events are numbered from 1
without gaps. A camera that goes blind does not end the flood: the episode becomes stale and
resumes. What happens is a table of the episode's phase and what is seen now.

Good news may wait: an update to a lower level comes no sooner than ``update_every_s`` after
the event before it, so that water that swings around a threshold is told of once. A higher
level never waits. What was held back is told when its time has come, if it still stands, and
every change that no event told is counted in the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from lsm_monitor.types import (
    Episode,
    EventKind,
    EvidenceWindow,
    ReasonCode,
    WaterEvent,
    WaterLevel,
    WaterState,
)
from lsm_monitor.water.state import EPISODE_LEVELS


class _Phase(Enum):
    """Where the zone's episode stands."""

    NONE = auto()
    OPEN = auto()
    STALE = auto()


class _Seen(Enum):
    """What the zone's state says, as far as episodes care."""

    CLEAR = auto()
    LOWER = auto()
    SAME = auto()
    RAPID = auto()
    HIGHER = auto()
    NOTHING = auto()


# LOWER, SAME, HIGHER: at or above ponding, compared with the level told last. RAPID: not
# higher, but since this frame it rises dangerously fast.
_KINDS: Mapping[tuple[_Phase, _Seen], EventKind] = {
    (_Phase.NONE, _Seen.HIGHER): EventKind.OPEN,
    (_Phase.OPEN, _Seen.HIGHER): EventKind.UPDATE,
    (_Phase.OPEN, _Seen.RAPID): EventKind.UPDATE,
    (_Phase.OPEN, _Seen.LOWER): EventKind.UPDATE,
    (_Phase.OPEN, _Seen.CLEAR): EventKind.CLOSE,
    (_Phase.OPEN, _Seen.NOTHING): EventKind.STALE,
    (_Phase.STALE, _Seen.SAME): EventKind.RESUME,
    (_Phase.STALE, _Seen.LOWER): EventKind.RESUME,  # it was held back before the stop
}
_MAY_WAIT = (_Phase.OPEN, _Seen.LOWER)

_REASONS: Mapping[EventKind, tuple[ReasonCode, ...]] = {
    EventKind.OPEN: (ReasonCode.ABOVE_OPEN_THRESHOLD, ReasonCode.PERSISTENT),
    EventKind.CLOSE: (ReasonCode.BELOW_CLOSE_THRESHOLD, ReasonCode.PERSISTENT),
    EventKind.STALE: (ReasonCode.NO_USABLE_FRAMES,),
    EventKind.RESUME: (ReasonCode.FRAMES_RETURNED,),
}


class _Evidence:
    """Counts the frames a decision rests on."""

    def __init__(self) -> None:
        self._start: datetime | None = None
        self._frames = 0
        self._frames_usable = 0

    def count(self, at: datetime, *, usable: bool) -> None:
        self._start = self._start or at
        self._frames += 1
        self._frames_usable += usable

    def take(self, end: datetime) -> EvidenceWindow:
        """Return what was counted up to ``end`` and begin anew."""
        window = EvidenceWindow(
            start=self._start or end,
            end=end,
            frames=self._frames,
            frames_usable=self._frames_usable,
        )
        self._start, self._frames, self._frames_usable = None, 0, 0
        return window


class EpisodeTracker:
    """Makes the events of one zone.

    Args:
        new_event_id: Makes a UUIDv7.
        episode: Open since before a restart: continues with its id and number.
        update_every_s: An update to a lower level waits until so long after the event
            before it.
    """

    def __init__(
        self,
        *,
        new_event_id: Callable[[], UUID],
        episode: Episode | None = None,
        update_every_s: float = 0.0,
    ) -> None:
        self._new_event_id = new_event_id
        self._episode = episode
        self._update_every_s = update_every_s
        self._evidence = _Evidence()
        self._last_event_s = float("-inf")
        self._is_rapid = False
        self.suppressed = 0
        """Changes of the level so far that no event told."""
        self._suppressed_before = 0

    @property
    def episode(self) -> Episode | None:
        """The open episode, or ``None``."""
        return self._episode

    def count_frame(self, at: datetime, *, usable: bool) -> None:
        """Count a frame towards the evidence of the next event."""
        self._evidence.count(at, usable=usable)

    def forget_evidence(self, at: datetime) -> None:
        """Begin the evidence anew while no episode is open.

        Called at each frame that speaks against one: days of a dry street are no evidence
        for the flood that follows.
        """
        if self._episode is None:
            self._evidence.take(at)

    def advance(
        self, state: WaterState, previous_level: WaterLevel, at: datetime, mono_s: float
    ) -> WaterEvent | None:
        """Return the event that ``state`` makes, if any.

        Args:
            state: Belief about the zone now.
            previous_level: Belief before.
            at: Acquisition time of the frame that decided; for ``stale``, which no frame
                decides, the time at which that was noticed. Timezone-aware UTC.
            mono_s: The same moment, monotonic.
        """
        if self._episode is not None and state.water_fraction is not None:
            peak_fraction = max(self._episode.peak_fraction, state.water_fraction)
            self._episode = replace(self._episode, peak_fraction=peak_fraction)
        phase, seen = self._phase(), self._seen(state)
        kind = _KINDS.get((phase, seen))
        waited_s = mono_s - self._last_event_s
        if (phase, seen) == _MAY_WAIT and 0 <= waited_s < self._update_every_s:
            kind = None
        if kind is None:
            self.suppressed += phase is _Phase.OPEN and state.level is not previous_level
            return None
        # Of an open episode, the level that was told last: others may have been held back.
        told = previous_level
        if self._episode is not None and phase is _Phase.OPEN:
            told = self._episode.level
        is_rapid = _is_rapid(state)
        begins_rapid = is_rapid and not self._is_rapid
        event = self._event(kind, state, told, at, begins_rapid=begins_rapid)
        self._last_event_s, self._is_rapid = mono_s, is_rapid
        return event

    def _event(
        self,
        kind: EventKind,
        state: WaterState,
        told: WaterLevel,
        at: datetime,
        *,
        begins_rapid: bool,
    ) -> WaterEvent:
        episode = self._next_episode(kind, state, at)
        self._episode = None if kind is EventKind.CLOSE else episode
        suppressed = self.suppressed - self._suppressed_before
        self._suppressed_before = self.suppressed
        return WaterEvent(
            kind=kind,
            episode=episode,
            state=state,
            previous_level=told,
            observed_at=at,
            closed_at=at if kind is EventKind.CLOSE else None,
            reasons=_reasons(kind, state.level, told, begins_rapid=begins_rapid),
            evidence=self._evidence.take(at),
            suppressed=suppressed,
        )

    def _phase(self) -> _Phase:
        if self._episode is None:
            return _Phase.NONE
        return _Phase.STALE if self._episode.is_stale else _Phase.OPEN

    def _seen(self, state: WaterState) -> _Seen:
        if not _is_rapid(state):
            self._is_rapid = False
        if state.level is WaterLevel.UNKNOWN:
            return _Seen.NOTHING
        if state.level not in EPISODE_LEVELS:
            return _Seen.CLEAR
        if self._episode is None or _is_above(state.level, self._episode.level):
            return _Seen.HIGHER
        if _is_rapid(state) and not self._is_rapid and not self._episode.is_stale:
            return _Seen.RAPID
        return _Seen.SAME if self._episode.level is state.level else _Seen.LOWER

    def _next_episode(self, kind: EventKind, state: WaterState, at: datetime) -> Episode:
        """Return the episode after an event of this kind."""
        if self._episode is None:
            return Episode(
                event_id=self._new_event_id(),
                camera_id=state.camera_id,
                zone_id=state.zone_id,
                seq=1,
                level=state.level,
                is_stale=False,
                opened_at=at,
                peak_fraction=state.water_fraction or 0.0,
            )
        is_at_level = state.level in EPISODE_LEVELS
        return replace(
            self._episode,
            seq=self._episode.seq + 1,
            level=state.level if is_at_level else self._episode.level,
            is_stale=kind is EventKind.STALE,
        )


def abandon(episode: Episode, at: datetime) -> WaterEvent:
    """Return the ``close`` of an episode whose zone is not watched any more.

    Its subscribers would otherwise wait for ever. Nothing is claimed about the water: the
    level is ``unknown``.

    Args:
        episode: Open since before the zone was taken out of the configuration.
        at: Now, timezone-aware UTC.
    """
    return WaterEvent(
        kind=EventKind.CLOSE,
        episode=replace(episode, seq=episode.seq + 1),
        state=WaterState(
            camera_id=episode.camera_id,
            zone_id=episode.zone_id,
            level=WaterLevel.UNKNOWN,
            water_fraction=None,
            confidence=None,
            since=at,
            observed_at=None,
        ),
        previous_level=episode.level,
        observed_at=at,
        closed_at=at,
        reasons=(ReasonCode.NOT_WATCHED,),
        evidence=EvidenceWindow(start=at, end=at, frames=0, frames_usable=0),
    )


def _reasons(
    kind: EventKind, level: WaterLevel, told: WaterLevel, *, begins_rapid: bool
) -> tuple[ReasonCode, ...]:
    rapid = (ReasonCode.RAPID_RISE,) if begins_rapid else ()
    if kind is not EventKind.UPDATE:
        return _REASONS[kind] + rapid
    if level is told:
        return rapid
    direction = ReasonCode.LEVEL_UP if _is_above(level, told) else ReasonCode.LEVEL_DOWN
    return (direction, ReasonCode.PERSISTENT, *rapid)


def _is_above(level: WaterLevel, other: WaterLevel) -> bool:
    order = list(WaterLevel)
    return order.index(level) > order.index(other)


def _is_rapid(state: WaterState) -> bool:
    return state.trend is not None and state.trend.is_rapid
