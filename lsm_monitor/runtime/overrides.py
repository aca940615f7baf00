"""What operators have set by command, and that it still holds after a restart.

A camera that was switched off in the evening must not be switched on again by an update in
the night. The file holds only what differs from the configuration on purpose: ``default``
takes a setting back, and what is set for a camera that is gone goes with it.

A file store and nothing else: whoever asks what holds, asks here; whoever obeys commands
writes here first, so that what was answered with "done" is done for good.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, assert_never

from pydantic import AwareDatetime, Field, ValidationError

from lsm_monitor import json_file
from lsm_monitor.config.base import Section
from lsm_monitor.config.watching import Mode
from lsm_monitor.publish.commands import SetContext, SetEnabled, SetMode, SetProfile
from lsm_monitor.types import CameraId

Setting = SetEnabled | SetMode | SetProfile | SetContext
"""The commands that last."""


class CameraOverride(Section):
    """What is set for one camera; ``None``: as configured."""

    enabled: bool | None = None
    mode: Mode | None = None
    profile: str | None = None


class _ContextOverride(Section):
    """A context that holds, and until when; ``None``: until it is said to be over."""

    until: AwareDatetime | None = None


class _Content(Section):
    version: Literal[1] = 1
    cameras: dict[str, CameraOverride] = Field(default={})
    contexts: dict[str, _ContextOverride] = Field(default={})


class RuntimeOverrides:
    """The overrides in one file; see :meth:`open`. For one thread; waits for the disk."""

    def __init__(self, path: Path, content: _Content) -> None:
        self._path = path
        self._content = content

    @classmethod
    def open(cls, path: Path, *, now: datetime) -> RuntimeOverrides:
        """Read the file; a missing one sets nothing, a damaged one is renamed and reported.

        Args:
            path: Such as ``runtime.json`` in the state folder.
            now: Timezone-aware UTC.

        Raises:
            StoreError: The file cannot be read.
        """
        content = json_file.read(path, now=now)
        if content is None:
            return cls(path, _Content())
        try:
            return cls(path, _Content.model_validate(content))
        except ValidationError as exc:
            json_file.set_aside(path, now=now, why=f"{exc.error_count()} values are invalid")
            return cls(path, _Content())

    def camera(self, camera_id: CameraId) -> CameraOverride:
        """Return what is set for a camera."""
        return self._content.cameras.get(camera_id, CameraOverride())

    def active_contexts(self, now: datetime) -> frozenset[str]:
        """Return the contexts that hold at ``now``, timezone-aware UTC."""
        return frozenset(
            name
            for name, context in self._content.contexts.items()
            if context.until is None or now < context.until
        )

    def next_end(self, now: datetime) -> datetime | None:
        """Return when the next context ends by itself, or ``None`` when none will."""
        ends = [context.until for context in self._content.contexts.values() if context.until]
        return min((end for end in ends if now < end), default=None)

    def apply(self, setting: Setting, *, now: datetime) -> None:
        """Remember a setting for good; ``now`` is timezone-aware UTC.

        Raises:
            StoreError: The disk refuses; nothing changed.
        """
        match setting:
            case SetEnabled(camera_id, enabled):
                self._set(camera_id, {"enabled": enabled})
            case SetMode(camera_id, mode):
                self._set(camera_id, {"mode": mode})
            case SetProfile(camera_id, profile):
                self._set(camera_id, {"profile": profile})
            case SetContext(name, active, for_s):
                contexts = {n: c for n, c in self._content.contexts.items() if n != name}
                if active:
                    until = None if for_s is None else now + timedelta(seconds=for_s)
                    contexts[name] = _ContextOverride(until=until)
                self._store(self._content.model_copy(update={"contexts": contexts}))
            case _:
                assert_never(setting)

    def keep_only(
        self,
        cameras: Collection[CameraId],
        contexts: Collection[str],
        profiles: Collection[str],
    ) -> None:
        """Forget cameras, contexts and profiles that are no longer configured.

        Raises:
            StoreError: The disk refuses; nothing changed.
        """
        kept = self._content.model_copy(
            update={
                "cameras": {
                    name: override
                    for name, each in self._content.cameras.items()
                    if name in cameras
                    and (override := _of_known(each, profiles)) != CameraOverride()
                },
                "contexts": {n: c for n, c in self._content.contexts.items() if n in contexts},
            }
        )
        self._store(kept)

    def _set(self, camera_id: CameraId, update: dict[str, object]) -> None:
        changed = self.camera(camera_id).model_copy(update=update)
        cameras = {n: c for n, c in self._content.cameras.items() if n != camera_id}
        if changed != CameraOverride():
            cameras[camera_id] = changed
        self._store(self._content.model_copy(update={"cameras": cameras}))

    def _store(self, content: _Content) -> None:
        if content != self._content:
            json_file.write(self._path, content.model_dump(mode="json", exclude_none=True))
            self._content = content


def _of_known(override: CameraOverride, profiles: Collection[str]) -> CameraOverride:
    if override.profile is None or override.profile in profiles:
        return override
    return override.model_copy(update={"profile": None})
