"""The configuration as the files say it, changed by what operators have set by command.

A service, too: a context that was said to hold for an hour ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from lsm_monitor.clock import Clock
from lsm_monitor.config.changes import Changes
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.config.profiles import with_profile
from lsm_monitor.errors import CommandError, StoreError
from lsm_monitor.publish.commands import Known, SetMode, SetProfile
from lsm_monitor.runtime.cameras import Cameras
from lsm_monitor.runtime.overrides import RuntimeOverrides, Setting
from lsm_monitor.types import CameraId

logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 60.0
"""The wall clock, by which contexts end, may be set while we wait."""


class LiveSettings:
    """What holds now. Belongs to the event loop.

    Args:
        config: What the files say.
        overrides: What was set by command.
        cameras: Watched as is said here.
        on_change: Told after every change what holds now, before any camera is touched.
        clock: Time at which contexts end.
    """

    name = "contexts"

    def __init__(
        self,
        config: MonitorConfig,
        *,
        overrides: RuntimeOverrides,
        cameras: Cameras,
        on_change: Callable[[LiveSettings], None],
        clock: Clock,
    ) -> None:
        self._files = config
        self._overrides = overrides
        self._config = effective(config, overrides)
        self._cameras = cameras
        self._on_change = on_change
        self._clock = clock
        self._changed = asyncio.Event()
        self._applied: frozenset[str] = frozenset()

    @property
    def config(self) -> MonitorConfig:
        """The configuration that holds: that of the files, with what was set by command."""
        return self._config

    @property
    def contexts(self) -> frozenset[str]:
        """Names of the contexts that hold now."""
        return self._overrides.active_contexts(self._clock.now())

    def profile_of(self, camera_id: CameraId) -> str | None:
        """Return the profile that holds for a camera; ``None``: as configured."""
        profile = self._overrides.camera(camera_id).profile
        return profile if profile in self._files.profiles else None

    def known(self) -> Known:
        """Return the names that a command may use."""
        triggers = (group.trigger for group in self._files.groups.values())
        return Known(
            cameras=frozenset(self._files.cameras),
            contexts=frozenset(trigger for trigger in triggers if trigger is not None),
            profiles=frozenset(self._files.profiles),
        )

    def adopt(self, config: MonitorConfig) -> Changes:
        """Go over to what the files say now."""
        self._files = config
        known = self.known()
        try:
            self._overrides.keep_only(
                frozenset(CameraId(name) for name in known.cameras),
                known.contexts,
                known.profiles,
            )
        except StoreError as exc:
            logger.warning("what was set for what is gone is kept: %s", exc)
        return self._apply()

    def set(self, setting: Setting) -> Changes:
        """Set something by command; it holds over a restart.

        Raises:
            CommandError: It does not fit the camera's configuration.
            StoreError: It could not be stored; nothing changed.
        """
        match setting:
            case SetMode(camera_id, "triggered"):
                self._check_may_rest(camera_id, self.profile_of(camera_id))
            case SetProfile(camera_id, profile):
                if self._overrides.camera(camera_id).mode == "triggered":
                    self._check_may_rest(camera_id, profile)
            case _:
                pass
        self._overrides.apply(setting, now=self._clock.now())
        return self._apply()

    async def run(self) -> None:
        """End contexts when their time is over, until cancelled."""
        self._apply()  # one may have ended since the start
        while True:
            now = self._clock.now()
            end = self._overrides.next_end(now)
            wait_s = None
            if end is not None:
                wait_s = min(max(0.0, (end - now).total_seconds()), _LOOK_AGAIN_S)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)
            if self.contexts != self._applied:
                self._apply()

    def _check_may_rest(self, camera_id: CameraId, profile: str | None) -> None:
        camera = _profiled(self._files, camera_id, profile)
        if camera.stale_after_s < 2 * camera.idle_interval_s:
            msg = (
                f"camera {camera_id!r} would be unknown between two pictures: "
                f"'stale_after_s' ({camera.stale_after_s:g}) must be at least twice "
                f"'idle_interval_s' ({camera.idle_interval_s:g}) in the configuration"
            )
            raise CommandError(msg)

    def _apply(self) -> Changes:
        self._config = effective(self._files, self._overrides)
        self._on_change(self)
        self._applied = self.contexts
        found = self._cameras.adopt(self.config, triggers=self._applied)
        self._changed.set()
        return found


def effective(config: MonitorConfig, overrides: RuntimeOverrides) -> MonitorConfig:
    """Return ``config`` with what was set by command in the place of what it says."""
    cameras = dict(config.cameras)
    for name in config.cameras:
        override = overrides.camera(CameraId(name))
        camera = cameras[name] = _profiled(config, name, override.profile)
        update = {
            key: value
            for key, value in (("enabled", override.enabled), ("mode", override.mode))
            if value is not None
        }
        if update:
            cameras[name] = camera.model_copy(update=update)
    return config.model_copy(update={"cameras": cameras})


def _profiled(config: MonitorConfig, name: str, profile: str | None) -> CameraConfig:
    """Return a camera under a profile; one that is gone changes nothing."""
    camera, settings = config.cameras[name], config.profiles.get(profile or "")
    return camera if settings is None else with_profile(camera, settings)
