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

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.clock import Clock
from lsm_monitor.config.edit import replace_text
from lsm_monitor.config.edit_geometry import GEOMETRY_KEYS, Geometry, geometry_in, with_geometry
from lsm_monitor.config.edit_text import difference
from lsm_monitor.config.loader import LoadedConfig, load, text_of
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.config.secrets import revealed
from lsm_monitor.errors import ConfigChangedError, ConfigError, ConfigNotWritableError
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.drawn import drawn_of
from lsm_monitor.types import CameraId, FrameStamp, WaterMask, ZoneReading
from lsm_monitor.water.zones import ZoneReader
from lsm_monitor.web.drafts import Draft, Drafts

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


class Seen(Protocol):
    """A judged picture."""

    @property
    def taken_at(self) -> datetime:
        """When, timezone-aware UTC."""
        ...

    @property
    def water(self) -> npt.NDArray[np.bool_]:
        """Where the model saw water, (h, w)."""
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
        metrics: Counts what became of the edits.
        clock: Monotonic time.
    """

    def __init__(
        self,
        files: ConfigFiles,
        *,
        environ: Mapping[str, str],
        newest: Callable[[CameraId], Seen | None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._files = files
        self._environ = environ
        self._newest = newest
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
        camera = _redrawn(self._files.loaded.config.cameras[camera_id], geometry)
        seen = self._newest(CameraId(camera_id))
        if seen is None:
            return None
        return seen.taken_at, await asyncio.to_thread(_read, CameraId(camera_id), camera, seen)

    async def propose(
        self, camera_id: str, geometry: Geometry, *, base: Geometry | None, owner: str
    ) -> Proposal:
        """Return what saving ``geometry`` would change; nothing is written.

        Args:
            camera_id: A camera that there is.
            geometry: All that it shall have.
            base: What it had when somebody began to draw; ``None``: does not matter.
            owner: Whose session may save it.

        Raises:
            ConfigChangedError: The file has another geometry than ``base``.
            ConfigError: The result would not be valid, or must be written by hand.
        """
        loaded = self._files.loaded
        geometry = _with_what_is_not_drawn(loaded.config.cameras[camera_id], geometry)
        _redrawn(loaded.config.cameras[camera_id], geometry)
        path, name = loaded.file_of(camera_id), loaded.name_of(camera_id)
        async with self._editing:
            if base is not None:
                await asyncio.to_thread(_expect_base, loaded, camera_id, base)
            before, after = await asyncio.to_thread(with_geometry, path, camera_id, geometry)
            if before != after:
                await asyncio.to_thread(self._check, path, after)
        draft = Draft(camera_id, owner, path, _digest(before), dict(geometry))
        return Proposal(
            diff=_redactor(loaded).redact(difference(name, before, after)),
            token=self._drafts.add(draft) if before != after else "",
            file=name,
            is_writable=await asyncio.to_thread(_may_replace, path),
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
                await asyncio.to_thread(self._write, draft)
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


def _with_what_is_not_drawn(camera: CameraConfig, geometry: Geometry) -> Geometry:
    """Return ``geometry`` with what ``camera`` says of its zones beside their outlines."""
    if not geometry.get("zones"):
        return geometry
    said = {
        name: zone.model_dump(exclude_unset=True, exclude={"points"})
        for name, zone in camera.zones.items()
    }
    zones = {name: {**said.get(name, {}), **zone} for name, zone in geometry["zones"].items()}
    return {**geometry, "zones": zones}


def _redrawn(camera: CameraConfig, geometry: Geometry) -> CameraConfig:
    """Return ``camera`` with another geometry.

    Raises:
        ConfigError: It is not valid; one line per problem.
    """
    kept = {
        key: getattr(camera, key) for key in camera.model_fields_set if key not in GEOMETRY_KEYS
    }
    geometry = _with_what_is_not_drawn(camera, geometry)
    try:
        return CameraConfig.model_validate({**kept, **geometry})
    except ValidationError as exc:
        lines = [
            ": ".join(filter(None, (_key_of(each["loc"]), text_of(each))))
            for each in exc.errors(include_url=False, include_input=False)
        ]
        raise ConfigError("\n".join(lines)) from None


def _key_of(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part != "[key]")


def _expect_base(loaded: LoadedConfig, camera_id: str, base: Geometry) -> None:
    """Raise :class:`ConfigChangedError` if the file has another geometry than ``base``."""
    path, camera = loaded.file_of(camera_id), loaded.config.cameras[camera_id]
    begun, now = (
        _redrawn(camera, each).model_dump(include=set(GEOMETRY_KEYS))
        for each in (base, geometry_in(path, camera_id))
    )
    if begun != now:
        msg = f"{path.name}: somebody else has drawn {camera_id!r} anew meanwhile"
        raise ConfigChangedError(msg)


def _read(camera_id: CameraId, camera: CameraConfig, seen: Seen) -> tuple[ZoneReading, ...]:
    drawn = drawn_of(camera)
    water = seen.water.astype(np.float32)
    # One picture, taken at its word: what the filter makes of many needs many.
    stamp = FrameStamp(camera_id, 0, 0, None, seen.taken_at, 0.0)
    mask = WaterMask(stamp, probability=water, threshold=0.5, inference_ms=0.0)
    reader = ZoneReader(drawn.zones, gauges=drawn.gauges, ground=drawn.ground)
    return reader.read(mask, water)


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
