"""Everything that is believed about one camera's zones, from masks to events.

The judge is told each mask, each frame that could not be judged, and the time; it answers
with states and events. It reads no clock and does no I/O, so the daemon, ``replay`` on a
video's own clock and the tests run the very same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from lsm_monitor.types import (
    CameraId,
    Episode,
    FrameStamp,
    WaterEvent,
    WaterLevel,
    WaterMask,
    WaterState,
    ZoneId,
    ZoneReading,
)
from lsm_monitor.water.episodes import EpisodeTracker
from lsm_monitor.water.smoothing import MaskSmoother
from lsm_monitor.water.state import WaterRules, ZoneMachine
from lsm_monitor.water.zones import Zone, ZoneReader


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's answer.

    Attributes:
        states: Belief about each zone, in the order of the zones.
        readings: What the frame said about each zone; empty when time passed without one.
        events: What there is to tell, in order.
    """

    states: tuple[WaterState, ...]
    readings: tuple[ZoneReading, ...]
    events: tuple[WaterEvent, ...]


class CameraJudge:
    """Judges one camera. Not thread-safe.

    Smoothing starts afresh after a reconnect or a long gap; levels and episodes do not.

    Args:
        camera_id: Key of the camera in the configuration.
        zones: The camera's zones; at least one.
        rules: Bands and dwells.
        smoothing_s: Time constant of the average over each pixel, in seconds.
        new_event_id: Makes a UUIDv7 for each new episode.
        episodes: Episodes that were open at the last stop; those of other cameras or of
            zones that are gone are ignored.
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
    ) -> None:
        # A gap that makes the state unknown also makes the average worthless.
        self._smoother = MaskSmoother(
            time_constant_s=smoothing_s, max_gap_s=rules.stale_after_s
        )
        self._reader = ZoneReader(zones)
        open_episodes = {e.zone_id: e for e in episodes if e.camera_id == camera_id}
        self._zones = tuple(
            _ZoneJudge(
                camera_id=camera_id,
                zone_id=zone.zone_id,
                machine=ZoneMachine(rules, open_episodes.get(zone.zone_id)),
                tracker=EpisodeTracker(
                    new_event_id=new_event_id, episode=open_episodes.get(zone.zone_id)
                ),
            )
            for zone in zones
        )

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The open episodes."""
        return tuple(zone.episode for zone in self._zones if zone.episode is not None)

    def observe(self, mask: WaterMask) -> Judgement:
        """Take in the mask of a usable frame."""
        # First what its absence meant until now: a gap is told even when nobody ticked.
        gap = self.tick(mask.stamp.decoded_mono_s, mask.stamp.decoded_at)
        readings = self._reader.read(mask, self._smoother.update(mask))
        events = [
            zone.observe(reading) for zone, reading in zip(self._zones, readings, strict=True)
        ]
        return self._judgement(mask.stamp.decoded_at, readings, [*gap.events, *events])

    def unusable(self, stamp: FrameStamp) -> None:
        """Count a frame that could not be judged; it neither raises nor lowers a level."""
        for zone in self._zones:
            zone.unusable(stamp)

    def tick(self, mono_s: float, now: datetime) -> Judgement:
        """Let time pass without a frame.

        Args:
            mono_s: Monotonic seconds, of the clock of the stamps.
            now: The same moment, timezone-aware UTC.
        """
        return self._judgement(now, (), [zone.tick(mono_s, now) for zone in self._zones])

    def _judgement(
        self,
        now: datetime,
        readings: tuple[ZoneReading, ...],
        events: Iterable[WaterEvent | None],
    ) -> Judgement:
        states = tuple(zone.state(now) for zone in self._zones)
        return Judgement(states, readings, tuple(event for event in events if event))


class _ZoneJudge:
    """One zone: its machine, its episode, and the newest numbers."""

    def __init__(
        self,
        *,
        camera_id: CameraId,
        zone_id: ZoneId,
        machine: ZoneMachine,
        tracker: EpisodeTracker,
    ) -> None:
        self._camera_id = camera_id
        self._zone_id = zone_id
        self._machine = machine
        self._tracker = tracker
        self._newest: ZoneReading | None = None
        self._since: datetime | None = None

    @property
    def episode(self) -> Episode | None:
        return self._tracker.episode

    def observe(self, reading: ZoneReading) -> WaterEvent | None:
        previous_level = self._machine.level
        self._machine.observe(reading)
        self._newest = reading
        at = reading.stamp.decoded_at
        self._tracker.count_frame(at, usable=True)
        if not self._machine.is_above_opening():
            self._tracker.forget_evidence(at)
        return self._advance(previous_level, at)

    def unusable(self, stamp: FrameStamp) -> None:
        self._tracker.count_frame(stamp.decoded_at, usable=False)

    def tick(self, mono_s: float, now: datetime) -> WaterEvent | None:
        previous_level = self._machine.level
        self._machine.tick(mono_s)
        return self._advance(previous_level, now)

    def _advance(self, previous_level: WaterLevel, at: datetime) -> WaterEvent | None:
        if self._machine.level is not previous_level:
            self._since = at
        return self._tracker.advance(self.state(at), previous_level, at)

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
        )
