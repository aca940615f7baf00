"""The cameras that are watched now, kept alike in every part that knows them by name.

A change of the configuration touches only what it is about: capture when the address changes,
the judge when zones or levels change, the interval when somebody wants to look more often.
The interval also follows what is seen: a camera whose level is about to change is looked at
faster, and so is a group whose trigger is on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterable
from dataclasses import replace

from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.packet_ring import RingLimits
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.capture.wire import LogAs
from lsm_monitor.clock import Clock
from lsm_monitor.config.changes import Changes, changes
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.intervals import interval_s, usual_interval_s
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.config.service import LoggingConfig
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.judging import judge_of
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.types import CameraId, Episode
from lsm_monitor.water.judge import CameraJudge

logger = logging.getLogger(__name__)

_WORTH_TELLING = 1.25


class Cameras:
    """Adds, removes and changes cameras while the daemon runs. Thread-safe.

    Args:
        config: Says which cameras there are; none is watched before :meth:`start`.
        triggers: Those that are on.
        fleet: Captures them.
        scheduler: Where their frames wait.
        decisions: Judges them.
        overview: Knows how they are.
        clock: Wall clock.
    """

    def __init__(
        self,
        config: MonitorConfig,
        *,
        triggers: frozenset[str] = frozenset(),
        fleet: CaptureFleet,
        scheduler: FrameScheduler,
        decisions: Decisions,
        overview: Overview,
        clock: Clock,
    ) -> None:
        self._started_with = config
        self._ring = _ring_of(config.evidence)
        self._config = config
        self._fleet = fleet
        self._scheduler = scheduler
        self._decisions = decisions
        self._overview = overview
        self._clock = clock
        # Reentrant: to judge by new rules may call for another interval.
        self._lock = threading.RLock()
        self._stretch = 1.0
        self._triggers = triggers
        self._attention: dict[CameraId, tuple[bool, bool]] = {}

    def start(self) -> None:
        """Watch every enabled camera, and close the episodes of those that are gone."""
        with self._lock:
            self._show()
            for camera_id in self._enabled():
                self._judge(camera_id)
                self._capture(camera_id)
        self._decisions.close_unclaimed()

    def adopt(self, config: MonitorConfig, *, triggers: frozenset[str]) -> Changes:
        """Go over to ``config``; a camera for which nothing changes is not touched.

        Args:
            config: What holds from now on.
            triggers: Those that are on: their groups are looked at faster.
        """
        with self._lock:
            # What needs a restart is needed until there is one, whatever was told before.
            pending = changes(self._started_with, config).restart_needed
            found = replace(changes(self._config, config), restart_needed=pending)
            if config.logging != self._config.logging:
                self._fleet.log_as(log_as(config.logging))
            switched, self._triggers = self._triggers ^ triggers, triggers
            for camera_id in found.removed:
                self._fleet.remove(camera_id)
                self._scheduler.forget(camera_id)
                self._decisions.forget(camera_id)
                self._attention.pop(camera_id, None)
            before, self._config = self._config, config
            try:
                self._take_over(config, found, switched)
            except BaseException:
                self._config = before  # to be tried again as a whole
                raise
        return found

    def _take_over(
        self, config: MonitorConfig, found: Changes, switched: frozenset[str]
    ) -> None:
        self._show()
        for camera_id in found.added | found.rejudged:
            self._judge(camera_id)
        moved = {
            camera_id
            for camera_id, camera in self._enabled().items()
            if config.trigger_of(camera) in switched
        }
        for camera_id in found.added | found.reopened | found.rejudged | found.retimed | moved:
            self._capture(camera_id)

    def camera(self, camera_id: CameraId) -> CameraConfig | None:
        """Return how a camera is configured now, if it is.

        Takes no lock: whoever asks may hold one that we wait for.
        """
        return self._config.cameras.get(camera_id)

    def on_attention(self, camera_id: CameraId, pending: bool, episode_open: bool) -> None:  # noqa: FBT001 - a callback
        """Note whether a level is about to change, and whether an episode is open."""
        with self._lock:
            if self._attention.get(camera_id, (False, False)) != (pending, episode_open):
                self._attention[camera_id] = (pending, episode_open)
                camera = self._config.cameras.get(camera_id)
                if camera is not None and camera.enabled:
                    self._capture(camera_id)

    def stretch(self, factor: float) -> None:
        """Look at every camera ``factor`` times less often than configured."""
        with self._lock:
            before, self._stretch = self._stretch, factor
            for camera_id in self._enabled():
                self._capture(camera_id)
        if factor > _WORTH_TELLING >= before:
            logger.warning(
                "the machine does not keep up: every camera's interval is %.1f times what is "
                "configured; raise 'interval_s' or watch fewer cameras",
                factor,
            )
        elif before > _WORTH_TELLING >= factor:
            logger.info("the machine keeps up again")

    def _enabled(self) -> dict[CameraId, CameraConfig]:
        return {CameraId(n): c for n, c in self._config.cameras.items() if c.enabled}

    def _show(self) -> None:
        intervals_s = {n: usual_interval_s(camera) for n, camera in self._enabled().items()}
        self._overview.watch(intervals_s, self._clock.now())

    def _judge(self, camera_id: CameraId) -> None:
        camera = self._config.cameras[camera_id]

        def make(episodes: Iterable[Episode]) -> CameraJudge:
            return judge_of(
                camera_id,
                camera,
                episodes=episodes,
                interval_s=lambda: self._longest_interval_s(camera_id),
            )

        self._decisions.watch(camera_id, make)

    def _longest_interval_s(self, camera_id: CameraId) -> float:
        """Return how far apart a camera's pictures may be now; takes no lock, as above."""
        camera = self.camera(camera_id)
        return 0.0 if camera is None else self._stretch * usual_interval_s(camera)

    def _capture(self, camera_id: CameraId) -> None:
        camera = self._config.cameras[camera_id]
        pending, episode_open = self._attention.get(camera_id, (False, False))
        configured_s = interval_s(
            camera,
            pending=pending,
            triggered=self._config.trigger_of(camera) in self._triggers,
            episode_open=episode_open,
        )
        stretched_s = configured_s * self._stretch
        self._scheduler.watch(camera_id, interval_s=stretched_s)
        spec = SourceSpec.from_config(camera_id, camera)
        self._fleet.put(
            WatchedCamera(
                spec=replace(spec, interval_s=stretched_s),
                backoff_max_s=camera.backoff_max_s,
                on_patrol=camera.mode != "continuous",
                ring=self._ring,
                aim=aim_of(camera),
                # 0 to 9 in the file; 5 is one, and every step counts a quarter.
                priority=1.25 ** (camera.priority - 5),
            )
        )


def aim_of(camera: CameraConfig) -> str:
    """Return a fingerprint of where a camera's zones were drawn: its address, and the zones.

    Who draws zones anew has looked at what the camera shows then; and at another address there
    may be another camera.
    """
    drawn = sorted(zone.points for zone in camera.zones.values())
    return hashlib.sha256(json.dumps([camera.url, drawn]).encode()).hexdigest()


def log_as(logging_config: LoggingConfig) -> LogAs:
    """Return the order to capture processes to write their logs as configured."""
    return LogAs(logging_config.level, logging_config.format)


def _ring_of(evidence: EvidenceConfig) -> RingLimits | None:
    """Return how much of a camera's packets is kept for clips."""
    if not evidence.enabled or not evidence.clip_mb:
        return None
    return RingLimits(evidence.clip_before_s, evidence.clip_mb * 2**20)
