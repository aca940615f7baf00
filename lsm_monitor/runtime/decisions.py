"""From masks to durable events and published states: what is decided, once and for all.

Runs in the inference thread. An event is in the outbox, in one transaction with the episode
it belongs to, before anybody hears of it; so a process that dies at any moment neither loses
an event nor tells it twice. The outbox takes charge of it even when the disk refuses.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from lsm_monitor.clock import Clock, SettledTime
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    Episode,
    Frame,
    FrameStamp,
    HealthCode,
    HealthState,
    OutboundMessage,
    PromisedEvidence,
    WaterEvent,
    WaterMask,
    WaterState,
    ZoneId,
)
from lsm_monitor.water.corroboration import Corroboration
from lsm_monitor.water.episodes import abandon
from lsm_monitor.water.judge import CameraJudge, Judgement

logger = logging.getLogger(__name__)

Seen = tuple[Frame, WaterMask]
"""What decided: a picture, and where the model saw water in it."""
_TICK_EVERY_S = 1.0
_NEWS_FRACTION = 0.01
"""A change of the water fraction by one percent point is worth telling."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was published last about a zone, and when."""

    state: WaterState
    mono_s: float


class EvidenceKeeper(Protocol):
    """What keeps the pictures of events. Called inside the lock: must not block."""

    def promise(self, event: WaterEvent, seen: Seen | None) -> PromisedEvidence:
        """Return the names of the files that will be made of it."""
        ...

    def keep(self, event: WaterEvent, seen: Seen | None, payload: bytes) -> None:
        """Make them, some time after ``payload``, the event as it is sent, became durable."""
        ...


class Decisions:
    """Judges of all cameras, and where their verdicts go.

    Masks and ticks come from the inference thread, health and unusable frames from the capture
    thread; one lock serialises them, and inside it nothing waits but for the disk.

    Attributes:
        on_attention: Told, with a camera, whether a level is about to change and whether an
            episode is open; called with every judgement, by the thread that caused it.

    Args:
        episodes: Those that a restart left open.
        outbox: Where events become durable.
        messages: Makes MQTT messages of events, states and health.
        retain: Publishes the newest message of a topic; must not block.
        wake_publisher: Says that the outbox got rows; must not block.
        state_every_s: A zone's state is published at least this often while frames come.
        metrics: Counts events.
        clock: Time of ticks and of ``sent_at``.
        on_states: Told the states of a camera's zones after each picture and tick; must not
            block.
        on_health: Told what a camera's health is; must not block.
        corroboration: Who vouches for whom.
        evidence: Keeps pictures of events; ``None``: nobody does.
    """

    def __init__(
        self,
        *,
        episodes: Iterable[Episode],
        outbox: Outbox,
        messages: Messages,
        retain: Callable[[OutboundMessage], None],
        wake_publisher: Callable[[], None],
        state_every_s: float,
        metrics: Metrics,
        clock: Clock,
        on_states: Callable[[Sequence[WaterState]], None] = lambda _: None,
        on_health: Callable[[CameraHealth], None] = lambda _: None,
        corroboration: Corroboration | None = None,
        evidence: EvidenceKeeper | None = None,
    ) -> None:
        self._evidence = evidence
        self._corroboration = corroboration or Corroboration()
        self.on_attention: Callable[[CameraId, bool, bool], None] = lambda *_: None
        self._judges: dict[CameraId, CameraJudge] = {}
        self._unclaimed = list(episodes)
        self._on_states = on_states
        self._hear_health = on_health
        self._outbox = outbox
        self._messages = messages
        self._retain = retain
        self._wake_publisher = wake_publisher
        self._state_every_s = state_every_s
        self._metrics = metrics
        self._clock = clock
        self._time = SettledTime(clock)
        self._lock = threading.Lock()
        self._health: dict[CameraId, CameraHealth] = {}
        self._told: dict[tuple[CameraId, ZoneId], _Told] = {}
        self._last_tick_s = float("-inf")

    def watch(
        self, camera_id: CameraId, make_judge: Callable[[Iterable[Episode]], CameraJudge]
    ) -> None:
        """Judge a camera from now on, or judge it by other rules.

        Args:
            camera_id: Key of the camera in the configuration.
            make_judge: Makes its judge, which goes on with the given episodes; those of a
                zone that it does not have are closed.
        """
        with self._lock:
            before = self._judges.get(camera_id)
            episodes = (*self._claim(camera_id), *(before.episodes if before else ()))
            judge = self._judges[camera_id] = make_judge(episodes)
            self._forget_told(camera_id)
            self._health.setdefault(camera_id, _starting(camera_id, self._clock.now()))
            kept = {episode.event_id for episode in judge.episodes}
            self._close(episode for episode in episodes if episode.event_id not in kept)

    def forget(self, camera_id: CameraId) -> None:
        """Judge a camera no more; its episodes are closed, as nobody watches them."""
        with self._lock:
            judge = self._judges.pop(camera_id, None)
            if judge is None:
                return
            health = self._health[camera_id] = _unwatched(camera_id, self._clock.now())
            self._corroboration.forget(camera_id)
            self._forget_told(camera_id)
            self._close(judge.episodes)
            self._tell_health(health)

    def close_unclaimed(self) -> None:
        """Close what was open before the start at cameras that nobody watches now."""
        with self._lock:
            unclaimed, self._unclaimed = self._unclaimed, []
            for episode in unclaimed:
                health = _unwatched(episode.camera_id, self._clock.now())
                self._health.setdefault(episode.camera_id, health)
            self._close(unclaimed)

    def on_mask(self, mask: WaterMask, frame: Frame | None = None) -> None:
        """Judge one mask and publish what follows; ``frame`` is what evidence is made of."""
        with self._lock:
            judge = self._judges.get(mask.stamp.camera_id)
            if judge is None:  # forgotten while its frame was in the model
                return
            judgement = judge.observe(mask)
            self._accept(judgement, None if frame is None else (frame, mask))
        self._call_attention(mask.stamp.camera_id, judge, judgement)

    def on_unusable(self, stamp: FrameStamp, _codes: tuple[HealthCode, ...]) -> None:
        """Note that a frame came but could not be judged; its codes arrive as health."""
        with self._lock:
            judge = self._judges.get(stamp.camera_id)
            if judge is not None:
                judge.unusable(stamp)

    def on_health(self, health: CameraHealth) -> None:
        """Remember and publish what is wrong with a camera, or that nothing is."""
        with self._lock:
            if health.camera_id not in self._judges:
                return
            self._health[health.camera_id] = health
            self._tell_health(health)
        self._hear_health(health)

    def on_tick(self) -> None:
        """Let time pass: states may become unknown, the outbox tidies up."""
        now_s = self._clock.monotonic_s()
        if now_s - self._last_tick_s < _TICK_EVERY_S:
            return
        self._last_tick_s = now_s
        with self._lock:
            open_now = [e for judge in self._judges.values() for e in judge.episodes]
            self._close_unwatched(self._outbox.settle(self._time.now(), open_now))
            judged = [
                (camera_id, judge, judge.tick(now_s, self._clock.now()))
                for camera_id, judge in self._judges.items()
            ]
            for _, _, judgement in judged:
                self._accept(judgement)
        for camera_id, judge, judgement in judged:
            self._call_attention(camera_id, judge, judgement)

    def _call_attention(
        self, camera_id: CameraId, judge: CameraJudge, judgement: Judgement
    ) -> None:
        # Outside the lock: whoever listens has one of its own, and calls back.
        self.on_attention(camera_id, judgement.is_pending, bool(judge.episodes))

    def _claim(self, camera_id: CameraId) -> list[Episode]:
        mine = [episode for episode in self._unclaimed if episode.camera_id == camera_id]
        self._unclaimed = [e for e in self._unclaimed if e.camera_id != camera_id]
        return mine

    def _close(self, episodes: Iterable[Episode]) -> None:
        for episode in episodes:
            self._record(abandon(episode, self._clock.now()))

    def _accept(self, judgement: Judgement, seen: Seen | None = None) -> None:
        judgement = self._corroboration.of(judgement)
        self._metrics.alerts_suppressed.labels("rate").inc(judgement.suppressed)
        for event in judgement.events:
            self._record(event, seen)
        self._on_states(judgement.states)
        if any(self._is_news(state) for state in judgement.states):
            self._tell(judgement.states)

    def _close_unwatched(self, episodes: Iterable[Episode]) -> None:
        watched = {e.event_id for judge in self._judges.values() for e in judge.episodes}
        now = self._clock.now()
        for episode in episodes:
            if episode.event_id not in watched:
                camera_id = episode.camera_id
                self._health.setdefault(camera_id, _unwatched(camera_id, now))
                self._record(abandon(episode, now))

    def _record(self, event: WaterEvent, seen: Seen | None = None) -> None:
        now = self._clock.now()
        evidence = self._evidence
        messages = self._messages.event(
            event,
            health=self._health[event.state.camera_id],
            sent_at=now,
            previous=self._outbox.newest(event.episode.event_id),
            evidence=evidence.promise(event, seen) if evidence else None,
        )
        self._outbox.record(event, messages, now=now)
        if evidence:
            evidence.keep(event, seen, messages[0].payload)
        self._note(event)
        self._wake_publisher()

    def _note(self, event: WaterEvent) -> None:
        state = event.state
        self._metrics.events.labels(state.camera_id, event.kind, state.level).inc()
        logger.info(
            "camera %r zone %r: %s #%d, %s -> %s",
            state.camera_id,
            state.zone_id,
            event.kind,
            event.episode.seq,
            event.previous_level,
            state.level,
        )

    def _tell_health(self, health: CameraHealth) -> None:
        # Inside the lock: what a camera says last must not come behind that it is forgotten.
        for message in self._messages.health(health):
            self._retain(message)

    def _forget_told(self, camera_id: CameraId) -> None:
        """Tell its zones anew: what went with a camera or a zone, the broker has forgotten."""
        self._told = {zone: told for zone, told in self._told.items() if zone[0] != camera_id}

    def _is_news(self, state: WaterState) -> bool:
        told = self._told.get((state.camera_id, state.zone_id))
        if told is None or told.state.level is not state.level:
            return True
        if told.state.is_corroborated is not state.is_corroborated:
            return True
        if self._clock.monotonic_s() - told.mono_s >= self._state_every_s:
            return True
        change = (state.water_fraction or 0.0) - (told.state.water_fraction or 0.0)
        return abs(change) >= _NEWS_FRACTION

    def _tell(self, states: Sequence[WaterState]) -> None:
        """Publish all zones of one camera: its own state is that of the worst of them."""
        now, mono_s = self._clock.now(), self._clock.monotonic_s()
        for state in states:
            self._told[state.camera_id, state.zone_id] = _Told(state, mono_s)
            for message in self._messages.zone_state(state, now):
                self._retain(message)
        self._retain(self._messages.camera_state(states, now))


def _starting(camera_id: CameraId, now: datetime) -> CameraHealth:
    return CameraHealth(camera_id, HealthState.STARTING, (), "", now, reconnects=0)


def _unwatched(camera_id: CameraId, now: datetime) -> CameraHealth:
    return CameraHealth(camera_id, HealthState.OFFLINE, (), "not watched", now, reconnects=0)
