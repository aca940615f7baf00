"""The cameras that are watched now, kept alike in every part that knows them by name.

A change of the configuration touches only what it is about: capture when the address changes,
the judge when zones or levels change, the interval when somebody wants to look more often.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.judging import judge_of
from lsm_monitor.types import CameraId

logger = logging.getLogger(__name__)

_MAX_AGE_INTERVALS = 3.0
"""The newest frame of a live camera is at most one interval old; an older one is history."""
_WORTH_TELLING = 1.25


@dataclass(frozen=True, slots=True)
class Adopted:
    """What became of the cameras; each is in one of them, or was not touched."""

    added: tuple[CameraId, ...]
    removed: tuple[CameraId, ...]
    changed: tuple[CameraId, ...]


class Cameras:
    """Adds, removes and changes cameras while the daemon runs. Thread-safe.

    Args:
        fleet: Captures them.
        scheduler: Where their frames wait.
        decisions: Judges them.
    """

    def __init__(
        self, *, fleet: CaptureFleet, scheduler: FrameScheduler, decisions: Decisions
    ) -> None:
        self._fleet = fleet
        self._scheduler = scheduler
        self._decisions = decisions
        self._lock = threading.Lock()
        self._configs: dict[CameraId, CameraConfig] = {}
        self._stretch = 1.0

    def __len__(self) -> int:
        """Return how many cameras are watched."""
        return len(self._configs)

    def adopt(self, configs: Mapping[CameraId, CameraConfig]) -> Adopted:
        """Watch these cameras, in this way, and no others."""
        with self._lock:
            removed = tuple(n for n in self._configs if n not in configs)
            added = tuple(n for n in configs if n not in self._configs)
            changed = tuple(
                n for n in configs if n in self._configs and configs[n] != self._configs[n]
            )
            for camera_id in removed:
                self._fleet.remove(camera_id)
                self._scheduler.forget(camera_id)
                self._decisions.forget(camera_id)
                del self._configs[camera_id]
            for camera_id in (*added, *changed):
                self._watch(camera_id, configs[camera_id])
        return Adopted(added, removed, changed)

    def stretch(self, factor: float) -> None:
        """Look at every camera ``factor`` times less often than configured."""
        with self._lock:
            before, self._stretch = self._stretch, factor
            for camera_id, config in self._configs.items():
                self._capture(camera_id, config)
        if (factor > _WORTH_TELLING) != (before > _WORTH_TELLING):
            if factor > _WORTH_TELLING:
                logger.warning(
                    "the machine does not keep up: every camera's interval is %.1f times what "
                    "is configured; raise 'interval_s' or watch fewer cameras",
                    factor,
                )
            else:
                logger.info("the machine keeps up again")

    def _watch(self, camera_id: CameraId, config: CameraConfig) -> None:
        before = self._configs.get(camera_id)
        self._configs[camera_id] = config
        if before is None or _judged_like(before) != _judged_like(config):
            self._decisions.watch(
                camera_id, lambda episodes: judge_of(camera_id, config, episodes=episodes)
            )
        self._capture(camera_id, config)

    def _capture(self, camera_id: CameraId, config: CameraConfig) -> None:
        interval_s = config.interval_s * self._stretch
        self._scheduler.watch(camera_id, max_age_s=_MAX_AGE_INTERVALS * interval_s)
        self._fleet.put(
            WatchedCamera(
                spec=replace(SourceSpec.from_config(camera_id, config), interval_s=interval_s),
                backoff_max_s=config.backoff_max_s,
            )
        )


_ONLY_CAPTURE = {
    "url",
    "username",
    "password",
    "transport",
    "decode",
    "interval_s",
    "open_timeout_s",
    "read_timeout_s",
    "backoff_max_s",
}


def _judged_like(config: CameraConfig) -> dict[str, object]:
    """Return what the judge needs of a camera's configuration."""
    return config.model_dump(exclude=_ONLY_CAPTURE)
