"""Everything that is believed about one camera's zones, from masks to events.

The judge is told each mask, each frame that could not be judged, and the time; it answers
with states and events. It reads no clock and does no I/O, so the daemon, ``replay`` on a
video's own clock and the tests run the very same decisions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from lsm_monitor.geometry import Ground
from lsm_monitor.types import (
    CameraId,
    Episode,
    FrameStamp,
    WaterEvent,
    WaterLevel,
    WaterMask,
    WaterState,
    WaterTrend,
    ZoneId,
    ZoneReading,
)
from lsm_monitor.water.episodes import EpisodeTracker
from lsm_monitor.water.gauges import Gauge
from lsm_monitor.water.smoothing import MaskSmoother
from lsm_monitor.water.state import WaterRules, ZoneMachine
from lsm_monitor.water.trend import TrendRules, TrendWatch
from lsm_monitor.water.zones import Zone, ZoneReader

_PATIENCE = 2.0
"""Intervals without a usable frame, at least, before a level is unknown."""
_FRAMES_OF_QUALITY = 10
"""Of the last so many frames, those that could not be judged lower the confidence."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's answer.

    Attributes:
        states: Belief about each zone, in the order of the zones.
        readings: What the frame said about each zone; empty when time passed without one.
        events: What there is to tell, in order.
        is_pending: A change of some zone's level is under way: look more often.
        suppressed: Changes of a level that are not among the events, because they came too
            soon after the one before.
    """

    states: tuple[WaterState, ...]
    readings: tuple[ZoneReading, ...]
    events: tuple[WaterEvent, ...]
    is_pending: bool = False
    suppressed: int = 0


class CameraJudge:
    """Judges one camera. Not thread-safe.

    Smoothing starts afresh after a reconnect or a long gap; levels and episodes do not.

    Args:
        camera_id: Key of the camera in the configuration.
        zones: The camera's zones; at least one.
        rules: Bands and dwells.
        smoothing_s: Scale of the times of the filter over each pixel, in seconds.
        new_event_id: Makes a UUIDv7 for each new episode.
        episodes: Episodes that were open at the last stop; those of other cameras or of
            zones that are gone are ignored.
        gauges: Marks of known height in the picture.
        ground: The plane of the road, for areas.
        trend: How trends are judged.
        interval_s: Returns how far apart frames are now, in seconds. A level is not unknown
            before twice that, whatever the rules say: between any two frames it would be,
            and no flood would ever last long enough to be told.
    """

    def __init__(
        self,
        *,
        camera_id: CameraId,
        zones: Sequence[Zone],
        rules: WaterRules,
        smoothing_s: float,
        new_event_id: Callable[[], UUID],
        episodes: Iterable[Episode] = (),
        gauges: Sequence[Gauge] = (),
        ground: Ground | None = None,
        trend: TrendRules | None = None,
        interval_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._interval_s = interval_s
        # A gap that makes the state unknown also makes the belief about pixels worthless.
        self._smoother = MaskSmoother(smoothing_s=smoothing_s, max_gap_s=rules.stale_after_s)
        self._reader = ZoneReader(zones, gauges=gauges, ground=ground)
        self._usable: deque[bool] = deque(maxlen=_FRAMES_OF_QUALITY)
        open_episodes = {e.zone_id: e for e in episodes if e.camera_id == camera_id}
        self._zones = tuple(
            _ZoneJudge(
                camera_id=camera_id,
                zone_id=zone.zone_id,
                machine=ZoneMachine(rules, open_episodes.get(zone.zone_id)),
                tracker=EpisodeTracker(
                    new_event_id=new_event_id,
                    episode=open_episodes.get(zone.zone_id),
                    update_every_s=rules.update_every_s,
                ),
                trend=TrendWatch(trend or TrendRules(), rules.bands()),
            )
            for zone in zones
        )
        self._suppressed = 0

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open episodes."""
        return tuple(zone.episode for zone in self._zones if zone.episode is not None)

    def observe(self, mask: WaterMask) -> Judgement:
        """Take in the mask of a usable frame."""
        # First what its absence meant until now: a gap is told even when nobody ticked.
        gap_events = self._pass_time(mask.stamp.decoded_mono_s, mask.stamp.decoded_at)
        self._usable.append(True)
        quality = sum(self._usable) / len(self._usable)
        readings = tuple(
            replace(reading, confidence=0.5 + quality * (reading.confidence - 0.5))
            for reading in self._reader.read(mask, self._smoother.update(mask))
        )
        events = [
            zone.observe(reading) for zone, reading in zip(self._zones, readings, strict=True)
        ]
        return self._judgement(mask.stamp.decoded_at, readings, [*gap_events, *events])

    def unusable(self, stamp: FrameStamp) -> None:
        """Count a frame that could not be judged; it neither raises nor lowers a level."""
        self._usable.append(False)
        for zone in self._zones:
            zone.unusable(stamp)

    def tick(self, mono_s: float, now: datetime) -> Judgement:
        """Let time pass without a frame.

        Args:
            mono_s: Monotonic seconds, of the clock of the stamps.
            now: The same moment, timezone-aware UTC.
        """
        return self._judgement(now, (), self._pass_time(mono_s, now))

    def _pass_time(self, mono_s: float, now: datetime) -> list[WaterEvent | None]:
        patience_s = _PATIENCE * self._interval_s()
        return [zone.tick(mono_s, now, patience_s) for zone in self._zones]

    def _judgement(
        self,
        now: datetime,
        readings: tuple[ZoneReading, ...],
        events: Iterable[WaterEvent | None],
    ) -> Judgement:
        suppressed_before = self._suppressed
        self._suppressed = sum(zone.suppressed for zone in self._zones)
        return Judgement(
            states=tuple(zone.state(now) for zone in self._zones),
            readings=readings,
            events=tuple(event for event in events if event),
            is_pending=any(zone.is_pending for zone in self._zones),
            suppressed=self._suppressed - suppressed_before,
        )


class _ZoneJudge:
    """One zone: its machine, its episode, its trend, and the newest numbers."""

    def __init__(
        self,
        *,
        camera_id: CameraId,
        zone_id: ZoneId,
        machine: ZoneMachine,
        tracker: EpisodeTracker,
        trend: TrendWatch,
    ) -> None:
        self._camera_id = camera_id
        self._zone_id = zone_id
        self._machine = machine
        self._tracker = tracker
        self._trend_watch = trend
        self._newest: ZoneReading | None = None
        self._trend: WaterTrend | None = None
        self._since: datetime | None = None

    @property
    def episode(self) -> Episode | None:
        return self._tracker.episode

    @property
    def is_pending(self) -> bool:
        return self._machine.is_pending

    @property
    def suppressed(self) -> int:
        return self._tracker.suppressed

    def observe(self, reading: ZoneReading) -> WaterEvent | None:
        previous_level = self._machine.level
        self._machine.observe(reading)
        self._newest = reading
        self._trend = self._trend_watch.observe(reading, self._machine.level)
        at = reading.stamp.decoded_at
        self._tracker.count_frame(at, usable=True)
        if not self._machine.is_above_opening():
            self._tracker.forget_evidence(at)
        return self._advance(previous_level, at, reading.stamp.decoded_mono_s)

    def unusable(self, stamp: FrameStamp) -> None:
        self._tracker.count_frame(stamp.decoded_at, usable=False)

    def tick(self, mono_s: float, now: datetime, patience_s: float) -> WaterEvent | None:
        previous_level = self._machine.level
        self._machine.tick(mono_s, patience_s)
        return self._advance(previous_level, now, mono_s)

    def _advance(
        self, previous_level: WaterLevel, at: datetime, mono_s: float
    ) -> WaterEvent | None:
        if self._machine.level is not previous_level:
            self._since = at
        return self._tracker.advance(self.state(at), previous_level, at, mono_s)

    def state(self, now: datetime) -> WaterState:
        """Return the belief; ``now`` is when it began if nobody has asked before."""
        self._since = self._since or now
        newest = self._newest
        level = self._machine.level
        known = newest if level is not WaterLevel.UNKNOWN else None
        return WaterState(
            camera_id=self._camera_id,
            zone_id=self._zone_id,
            level=level,
            water_fraction=known.water_fraction if known else None,
            confidence=known.confidence if known else None,
            since=self._since,
            observed_at=newest.stamp.decoded_at if newest else None,
            area_m2=known.area_m2 if known else None,
            depth=known.depth if known else None,
            trend=self._trend if known else None,
        )
