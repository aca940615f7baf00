"""What is drawn on the page becomes the configuration: tried, shown as a difference, saved.

Nothing is written that would be refused: the whole configuration is checked with the new text
first. And nothing is written over: a file that is not what the difference was made from is
left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.clock import Clock
from lsm_monitor.config.edit import replace_text
from lsm_monitor.config.edit_geometry import Geometry, with_geometry
from lsm_monitor.config.edit_text import difference
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.secrets import revealed
from lsm_monitor.errors import ConfigChangedError, ConfigError, ConfigNotWritableError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, ZoneReading
from lsm_monitor.web.drafts import Draft, Drafts
from lsm_monitor.web.redrawn import (
    Seen,
    expect_base,
    readings_of,
    redrawn,
    with_what_is_not_drawn,
)
from lsm_monitor.web.workers import Workers

logger = logging.getLogger(__name__)

_READ_ONLY = (
    "; save the difference as FILE.diff and apply it there (sudo patch FILE FILE.diff), or let "
    "the service write: 'Drawing zones' in the operations guide"
)


class ConfigFiles(Protocol):
    """The configuration in use, and how to go over to what its files say now."""

    @property
    def loaded(self) -> LoadedConfig:
        """What is in use."""
        ...

    async def reload(self) -> str:
        """Go over to what the files say; return what changed, in words.

        Raises:
            ConfigError: They cannot be used.
        """
        ...


class DraftExpiredError(ConfigError):
    """There is no such draft, or no longer."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What saving would change.

    Attributes:
        diff: Unified, free of credentials; empty: nothing.
        token: To save it; empty when there is nothing to save.
        file: Name of the file, as the main file names it.
        is_writable: Whether this process may write it, as far as can be told beforehand.
    """

    diff: str
    token: str
    file: str
    is_writable: bool


class Editor:
    """Edits the geometry of cameras. Belongs to the event loop.

    Args:
        files: The configuration.
        environ: The process's environment, for secrets.
        newest: Returns a camera's newest judged picture, if there is one.
        workers: Threads for reading, checking and writing files.
        metrics: Counts what became of the edits.
        clock: Monotonic time.
    """

    def __init__(
        self,
        files: ConfigFiles,
        *,
        environ: Mapping[str, str],
        newest: Callable[[CameraId], Seen | None],
        workers: Workers,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._files = files
        self._environ = environ
        self._newest = newest
        self._workers = workers
        self._metrics = metrics
        self._drafts = Drafts(clock)
        self._editing = asyncio.Lock()

    def has(self, camera_id: str) -> bool:
        """Return whether there is such a camera."""
        return camera_id in self._files.loaded.config.cameras

    async def preview(
        self, camera_id: str, geometry: Geometry
    ) -> tuple[datetime, tuple[ZoneReading, ...]] | None:
        """Return what the newest mask says about each zone, and when it was taken.

        Returns:
            ``None`` before the first judged picture.

        Raises:
            ConfigError: The geometry is not valid; one line per problem.
        """
        camera = redrawn(self._files.loaded.config.cameras[camera_id], geometry)
        seen = self._newest(CameraId(camera_id))
        if seen is None:
            return None
        return seen.taken_at, await self._workers.run(
            readings_of, CameraId(camera_id), camera, seen
        )

    async def propose(
        self,
        camera_id: str,
        geometry: Geometry,
        *,
        base: Geometry | None,
        renamed: Mapping[str, str],
        owner: str,
    ) -> Proposal:
        """Return what saving ``geometry`` would change; nothing is written.

        Args:
            camera_id: A camera that there is.
            geometry: All that it shall have.
            base: What it had when somebody began to draw; ``None``: does not matter.
            renamed: New names of zones, and their old ones.
            owner: Whose session may save it.

        Raises:
            ConfigChangedError: The file has another geometry than ``base``.
            ConfigError: The result would not be valid, or must be written by hand.
        """
        loaded = self._files.loaded
        camera = loaded.config.cameras[camera_id]
        geometry = with_what_is_not_drawn(camera, geometry, renamed)
        redrawn(camera, geometry)
        path, name = loaded.file_of(camera_id), loaded.name_of(camera_id)
        async with self._editing:
            if base is not None:
                await self._workers.run(expect_base, loaded, camera_id, base)
            before, after = await self._workers.run(with_geometry, path, camera_id, geometry)
            if before != after:
                await self._workers.run(self._check, path, after)
        draft = Draft(camera_id, owner, path, _digest(before), dict(geometry))
        return Proposal(
            diff=_redactor(loaded).redact(difference(name, before, after)),
            token=self._drafts.add(draft) if before != after else "",
            file=name,
            is_writable=await self._workers.run(_may_replace, path),
        )

    async def save(self, camera_id: str, token: str, *, owner: str, who: str) -> str:
        """Write what was proposed and go over to it; return what changed, in words.

        Args:
            camera_id: A camera that there is.
            token: Of the proposal.
            owner: Whose session saves it.
            who: Name for the log.

        Raises:
            DraftExpiredError: The token is not this owner's of this camera, or too old.
            ConfigChangedError: The file is not what the proposal was made from.
            ConfigNotWritableError: It cannot be written.
            ConfigError: The result would not be valid any more, or another change of the
                files is in the way of going over to it.
        """
        async with self._editing:
            try:
                draft = self._drafts.find(token, camera_id=camera_id, owner=owner)
                if draft is None:
                    msg = "what was reviewed is too old; review it again"
                    raise DraftExpiredError(msg)
                await self._workers.run(self._write, draft)
            except ConfigError as exc:
                self._metrics.config_edits.labels(_outcome_of(exc)).inc()
                raise
            self._drafts.drop(token)
            self._metrics.config_edits.labels("saved").inc()
            logger.info(
                "camera %r: %r saved its geometry in %s", camera_id, who, draft.path.name
            )
            try:
                return await self._files.reload()
            except ConfigError as exc:  # something else was changed in this moment
                msg = f"saved, but not in use yet:\n{exc}"
                raise ConfigError(msg) from None

    def _write(self, draft: Draft) -> None:
        before, after = with_geometry(draft.path, draft.camera_id, draft.geometry)
        if _digest(before) != draft.digest:
            msg = f"{draft.path.name}: was changed by somebody else meanwhile; review it again"
            raise ConfigChangedError(msg)
        self._check(draft.path, after)
        try:
            replace_text(draft.path, before, after)
        except ConfigNotWritableError as exc:
            msg = f"{exc}{_READ_ONLY}"
            raise ConfigNotWritableError(msg) from None

    def _check(self, path: Path, after: str) -> None:
        """Raise :class:`ConfigError` if the configuration would be refused with ``after``."""
        load(self._files.loaded.path, self._environ, texts={path.resolve(): after})


def _may_replace(path: Path) -> bool:
    return os.access(path.resolve().parent, os.W_OK)  # False, too, where all is read-only


def _outcome_of(exc: ConfigError) -> str:
    match exc:
        case DraftExpiredError():
            return "expired"
        case ConfigChangedError():
            return "changed"
        case ConfigNotWritableError():
            return "read_only"
        case _:
            return "refused"


def _redactor(loaded: LoadedConfig) -> Redactor:
    return Redactor(revealed(loaded.config))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
