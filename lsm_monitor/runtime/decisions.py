"""From masks to durable events and published states: what is decided, once and for all.

Runs in the inference thread. An event is in the outbox, in one transaction with the episode
it belongs to, before anybody hears of it; so a process that dies at any moment neither loses
an event nor tells it twice. When the disk refuses, events wait here, in order, and are tried
again at every tick: the judge has moved on and will not make them a second time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lsm_monitor.clock import Clock
from lsm_monitor.errors import StoreError
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    Episode,
    FrameStamp,
    HealthCode,
    HealthState,
    OutboundMessage,
    WaterEvent,
    WaterMask,
    WaterState,
    ZoneId,
)
from lsm_monitor.water.corroboration import Corroboration
from lsm_monitor.water.episodes import abandon
from lsm_monitor.water.judge import CameraJudge, Judgement

logger = logging.getLogger(__name__)

_TICK_EVERY_S = 1.0
_NEWS_FRACTION = 0.01
"""A change of the water fraction by one percent point is worth telling."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What was published last about a zone, and when."""

    state: WaterState
    mono_s: float


class Decisions:
    """Judges of all cameras, and where their verdicts go.

    Masks and ticks come from the inference thread, health and unusable frames from capture
    threads; one lock serialises them, and inside it nothing waits but for the disk.

    Args:
        judges: One per camera; each already holds the episodes that a restart left open.
        outbox: Where events become durable.
        messages: Makes MQTT messages of events, states and health.
        retain: Publishes the newest message of a topic; must not block.
        wake_publisher: Says that the outbox got rows; must not block.
        state_every_s: A zone's state is published at least this often while frames come.
        metrics: Counts events.
        clock: Time of ticks and of ``sent_at``.
        corroboration: Who vouches for whom.
    """

    def __init__(
        self,
        *,
        judges: Mapping[CameraId, CameraJudge],
        outbox: Outbox,
        messages: Messages,
        retain: Callable[[OutboundMessage], None],
        wake_publisher: Callable[[], None],
        state_every_s: float,
        metrics: Metrics,
        clock: Clock,
        corroboration: Corroboration | None = None,
    ) -> None:
        self._corroboration = corroboration or Corroboration()
        self._judges = dict(judges)
        self._outbox = outbox
        self._messages = messages
        self._retain = retain
        self._wake_publisher = wake_publisher
        self._state_every_s = state_every_s
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        starting = {
            camera_id: CameraHealth(camera_id, HealthState.STARTING, (), "", clock.now(), 0)
            for camera_id in judges
        }
        self._health: dict[CameraId, CameraHealth] = starting
        self._told: dict[tuple[CameraId, ZoneId], _Told] = {}
        # Bounded by what one camera can do: an event per zone and dwell time.
        self._unsaved: list[WaterEvent] = []
        self._disk_refuses = False
        self._last_tick_s = float("-inf")

    def close_abandoned(self, episodes: Iterable[Episode]) -> None:
        """Close those of ``episodes``, open since the last run, whose zone no judge has."""
        watched = {e.event_id for judge in self._judges.values() for e in judge.episodes}
        with self._lock:
            for episode in episodes:
                if episode.event_id not in watched:
                    self._health.setdefault(
                        episode.camera_id, _unwatched(episode.camera_id, self._clock.now())
                    )
                    self._unsaved.append(abandon(episode, self._clock.now()))
            self._save()

    def on_mask(self, mask: WaterMask) -> None:
        """Judge one mask and publish what follows from it."""
        with self._lock:
            judgement = self._judges[mask.stamp.camera_id].observe(mask)
            self._accept(judgement)

    def on_unusable(self, stamp: FrameStamp, _codes: tuple[HealthCode, ...]) -> None:
        """Note that a frame came but could not be judged; its codes arrive as health."""
        with self._lock:
            self._judges[stamp.camera_id].unusable(stamp)

    def on_health(self, health: CameraHealth) -> None:
        """Remember and publish what is wrong with a camera, or that nothing is."""
        with self._lock:
            self._health[health.camera_id] = health
        for message in self._messages.health(health):
            self._retain(message)

    def on_tick(self) -> None:
        """Let time pass: states may become unknown, unsaved events are tried again."""
        now_s = self._clock.monotonic_s()
        if now_s - self._last_tick_s < _TICK_EVERY_S:
            return
        self._last_tick_s = now_s
        with self._lock:
            self._save()
            for judge in self._judges.values():
                self._accept(judge.tick(now_s, self._clock.now()))

    def _accept(self, judgement: Judgement) -> None:
        judgement = self._corroboration.of(judgement)
        self._metrics.alerts_suppressed.labels("rate").inc(judgement.suppressed)
        if judgement.events:
            self._unsaved += judgement.events
            self._save()
        if any(self._is_news(state) for state in judgement.states):
            self._tell(judgement.states)

    def _save(self) -> None:
        """Record the events that wait, oldest first, up to the first that the disk refuses."""
        while self._unsaved:
            event = self._unsaved[0]
            now = self._clock.now()
            health = self._health[event.state.camera_id]
            messages = self._messages.event(event, health=health, sent_at=now)
            try:
                self._outbox.record(event, messages, now=now)
            except StoreError as exc:
                if not self._disk_refuses:  # once per fault, not once per second
                    logger.error("events wait in memory, not yet durable: %s", exc)  # noqa: TRY400 - the text says it all
                self._disk_refuses = True
                return
            self._disk_refuses = False
            del self._unsaved[0]
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

    def _is_news(self, state: WaterState) -> bool:
        told = self._told.get((state.camera_id, state.zone_id))
        if told is None or told.state.level is not state.level:
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


def _unwatched(camera_id: CameraId, now: datetime) -> CameraHealth:
    return CameraHealth(camera_id, HealthState.OFFLINE, (), "not watched", now, reconnects=0)
