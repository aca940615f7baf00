"""A new configuration while the daemon runs: read, checked, and taken over camera by camera.

Asked for by SIGHUP, by an MQTT command, or by a change of one of the files. A file with a
problem changes nothing: the configuration before it stays in use, and the problem is in the
log, in the metrics and on MQTT.

Who asks may stop waiting, as an answer has its time limit. The reload goes on: a thread that
loads a model cannot be stopped, and what it has loaded must be taken over or freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
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
_LONGEST_SETTLE_MS = 10_000
_WATCH_AGAIN_S = 60.0


class Reloader:
    """Takes over new configurations. Belongs to the event loop.

    Args:
        loaded: What is in use.
        environ: The process's environment, for secrets.
        prepare: Told about a new configuration first, in another thread: its passwords must
            be known before they can be in a log, and its model must be ready. Raises
            ``ConfigError`` when it cannot be used.
        adopt: Goes over to a new configuration, and says what changed.
        on_result: Told after each attempt what was wrong; ``None`` when nothing was.
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
        on_result: Callable[[str | None], None],
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
        self._is_asked = False
        self._is_good = True
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[str]] = set()

    @property
    def loaded(self) -> LoadedConfig:
        """What is in use."""
        return self._loaded

    def request(self) -> None:
        """Ask for a reload; several requests before it begins are one."""
        self._is_asked = True
        self._requested.set()

    async def run(self) -> None:
        """Reload when asked to, and when a file changes, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch_files(), name="config-files")
                while True:
                    await self._requested.wait()
                    is_asked, self._is_asked = self._is_asked, False
                    self._requested.clear()
                    with contextlib.suppress(ConfigError):  # told already
                        await self.reload(is_asked=is_asked)
        except asyncio.CancelledError:  # a stop; when the watch fails, reloads go on
            await self._end_reloads()
            raise

    async def reload(self, *, is_asked: bool = True) -> str:
        """Read the files and go over to what they say; return what changed, in words.

        Goes on when who asked is cancelled; another one waits until it is over.

        Args:
            is_asked: Whether somebody waits for an answer: files that say what they said
                before are then no news.

        Raises:
            ConfigError: They cannot be used, or the daemon stops; nothing was changed.
        """
        task = asyncio.create_task(self._reload_alone(is_asked=is_asked), name="one-reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if task.cancelled() and not (asker and asker.cancelling()):
                msg = "the daemon is being stopped; it reads the files when it starts"
                raise ConfigError(msg) from None
            task.add_done_callback(_tell_fault)
            raise

    async def _reload_alone(self, *, is_asked: bool) -> str:
        async with self._reloading:
            self._notifier.reloading()
            try:
                return await self._reload(is_asked=is_asked)
            finally:
                self._notifier.reloaded()

    async def _end_reloads(self) -> None:
        """Take nothing over any more; what a thread still loads is freed with the process."""
        for task in self._reloads:
            task.cancel()
        await asyncio.gather(*self._reloads, return_exceptions=True)

    async def _reload(self, *, is_asked: bool) -> str:
        try:
            loaded = await asyncio.to_thread(load, self._loaded.path, self._environ)
            is_same = loaded.digest == self._loaded.digest
            if is_same and self._is_good and not is_asked:
                return "no changes"
            await asyncio.to_thread(self._prepare, loaded)
        except ConfigError as exc:
            self._is_good = False
            self._metrics.config_reload_ok.set(0)
            logger.error("the new configuration is not used:\n%s", exc)  # noqa: TRY400 - the text says it all
            self._on_result(str(exc))
            raise
        found = self._adopt(loaded)
        self._loaded, self._is_good = loaded, True
        self._metrics.config_reload_ok.set(1)
        self._metrics.config_reloaded_at.set(self._clock.now().timestamp())
        logger.info("configuration %s is in use: %s", loaded.digest, found)
        self._on_result(None)
        return str(found)

    async def _watch_files(self) -> None:
        """Ask for a reload whenever one of the files was written, until cancelled."""
        while True:
            try:
                await self._watch_folders(self._folders())
            except (OSError, RuntimeError) as exc:  # too many watches on this machine, say
                logger.warning("the configuration is looked at once a minute only: %s", exc)
                await self._clock.sleep(_WATCH_AGAIN_S)

    async def _watch_folders(self, folders: frozenset[Path]) -> None:
        """Do so until the files lie in other folders."""
        watched = self._files()
        if self._loaded.config.reload_on_change:
            # What was saved since it was read: loading a model takes its time. The watch below
            # has begun when this is looked at.
            self._requested.set()
        # Folders, because editors put a new file in the place of the old one.
        async for changed in awatch(
            *folders,
            debounce=_LONGEST_SETTLE_MS,
            step=_SETTLE_MS,
            recursive=False,
            ignore_permission_denied=True,
        ):
            paths = {Path(path) for _, path in changed}
            # A link leads elsewhere by now, or a folder has a new file.
            watched |= self._files()
            is_wanted = self._loaded.config.reload_on_change
            if is_wanted and any(p in watched or p.parent in watched for p in paths):
                self._requested.set()
            if self._folders() != folders:
                return

    def _files(self) -> frozenset[Path]:
        """Return what may change: the files, folders of an inventory, links that lead there."""
        paths = {path.absolute() for path in (self._loaded.path, *self._loaded.files)}
        links = {link for path in paths for link in _links(path)}
        return frozenset({path.resolve() for path in paths} | links)

    def _folders(self) -> frozenset[Path]:
        return frozenset(
            path if path.is_dir() and not path.is_symlink() else path.parent
            for path in self._files()
        )


def _links(path: Path) -> Iterator[Path]:
    """Yield every link on the way to ``path``: Kubernetes swaps one for a whole folder."""
    for part in (*reversed(path.parents), path):
        if part.is_symlink():
            yield part.parent.resolve() / part.name
            yield from _links(part.parent / part.readlink())


def _tell_fault(task: asyncio.Task[str]) -> None:
    """Log a fault of ours in a reload that nobody waits for; a mistake in the files is told."""
    fault = None if task.cancelled() else task.exception()
    if fault is not None and not isinstance(fault, ConfigError):
        logger.error("a reload failed that nobody waited for", exc_info=fault)
