"""A new configuration while the daemon runs: read, checked, and taken over camera by camera.

Asked for by SIGHUP, by an MQTT command, or by a change of one of the files. A file with a
problem changes nothing: the configuration before it stays in use, and the problem is in the
log, in the metrics and on MQTT.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from watchfiles import awatch

from lsm_monitor.clock import Clock
from lsm_monitor.config.changes import Changes
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.errors import ConfigError
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.systemd import Notifier

logger = logging.getLogger(__name__)

_SETTLE_MS = 1000
"""An editor writes a file in several steps; the last of them counts."""


class Reloader:
    """Takes over new configurations. Belongs to the event loop.

    Args:
        loaded: What is in use.
        environ: The process's environment, for secrets.
        prepare: Told about a new configuration first, in another thread: its passwords must
            be known before they can be in a log.
        adopt: Goes over to a new configuration, and says what changed.
        on_result: Told what is in use after each attempt, and what was wrong with the new
            one; ``None`` when nothing was.
        notifier: Told that a reload has begun and ended.
        metrics: Gets time and success of the newest reload.
        clock: Wall clock.
    """

    name = "reload"

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        environ: Mapping[str, str],
        prepare: Callable[[LoadedConfig], None],
        adopt: Callable[[LoadedConfig], Changes],
        on_result: Callable[[LoadedConfig, str | None], None],
        notifier: Notifier,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._loaded = loaded
        self._environ = environ
        self._prepare = prepare
        self._adopt = adopt
        self._on_result = on_result
        self._notifier = notifier
        self._metrics = metrics
        self._clock = clock
        self._requested = asyncio.Event()
        self._reloading = asyncio.Lock()

    def request(self) -> None:
        """Ask for a reload; several requests before it begins are one."""
        self._requested.set()

    async def run(self) -> None:
        """Reload when asked to, and when a file changes, until cancelled."""
        while True:
            watching = asyncio.create_task(self._file_changes(), name="config-files")
            asked = asyncio.create_task(self._requested.wait(), name="reload-requests")
            try:
                await asyncio.wait({watching, asked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # The files may be others after the reload, and so must be who watches them.
                for task in (watching, asked):
                    task.cancel()
                await asyncio.gather(watching, asked, return_exceptions=True)
            is_asked = self._requested.is_set()
            self._requested.clear()
            try:
                await self.reload(is_asked=is_asked)
            except ConfigError:
                continue  # told already

    async def reload(self, *, is_asked: bool = True) -> str:
        """Read the files and go over to what they say; return what changed, in words.

        Args:
            is_asked: Whether somebody waits for an answer: files that say what they said
                before are then no news.

        Raises:
            ConfigError: They cannot be used; nothing was changed.
        """
        async with self._reloading:
            self._notifier.reloading()
            try:
                return await self._reload(is_asked=is_asked)
            finally:
                self._notifier.reloaded()

    async def _reload(self, *, is_asked: bool) -> str:
        try:
            loaded = await asyncio.to_thread(load, self._loaded.path, self._environ)
        except ConfigError as exc:
            self._metrics.config_reload_ok.set(0)
            logger.error("the new configuration is not used:\n%s", exc)  # noqa: TRY400 - the text says it all
            self._on_result(self._loaded, str(exc))
            raise
        if loaded.digest == self._loaded.digest and not is_asked:
            return "no changes"
        await asyncio.to_thread(self._prepare, loaded)
        found = self._adopt(loaded)
        self._loaded = loaded
        self._metrics.config_reload_ok.set(1)
        self._metrics.config_reloaded_at.set(self._clock.now().timestamp())
        logger.info("configuration %s is in use: %s", loaded.digest, found)
        self._on_result(loaded, None)
        return str(found)

    async def _file_changes(self) -> None:
        """Return after one of the files was written, and then left alone for a while."""
        if not self._loaded.config.reload_on_change:
            await asyncio.Event().wait()
        watched = {path.resolve() for path in (self._loaded.path, *self._loaded.files)}
        # Folders, because editors put a new file in the place of the old one.
        folders = {path if path.is_dir() else path.parent for path in watched}
        async for changed in awatch(
            *folders, debounce=_SETTLE_MS, recursive=False, ignore_permission_denied=True
        ):
            paths = {Path(path) for _, path in changed}
            if any(path in watched or path.parent in watched for path in paths):
                return
