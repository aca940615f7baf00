"""What the cameras have learnt about their views, one small file each in the state folder.

A file is replaced as a whole, so that a crash leaves the old one or the new one; it is not
synchronised to the disk, because what a power cut takes is learnt again in minutes. What
cannot be used is removed and learnt anew: nothing here may keep a camera from being watched.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.errors import CameraMemoryError, StoreError
from lsm_monitor.types import CameraId

logger = logging.getLogger(__name__)

FOLDER: Final = "views"
_SUFFIX: Final = ".view"


class CameraMemories:
    """The files; one process uses them.

    Args:
        state_dir: The daemon's state folder; ``views`` is made in it.

    Raises:
        StoreError: The folder cannot be made.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER
        try:
            self._folder.mkdir(mode=0o750, exist_ok=True)
        except OSError as exc:
            raise _refused(self._folder, exc) from None

    def load(self, camera_id: CameraId) -> bytes | None:
        """Return what :meth:`save` was given; ``None`` when there is nothing that can be used.

        Raises:
            StoreError: The file is there and cannot be read.
        """
        path = self._path(camera_id)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise _refused(path, exc) from None
        try:
            CameraMemory.from_bytes(data)
        except CameraMemoryError as exc:
            logger.warning("camera '%s': %s; it learns its view anew", camera_id, exc)
            self.forget(camera_id)
            return None
        return data

    def save(self, camera_id: CameraId, data: bytes) -> None:
        """Keep ``data``, from :meth:`CameraMemory.to_bytes`, instead of what was there.

        Raises:
            StoreError: It cannot be written, as on a full disk; the old file stays.
        """
        path = self._path(camera_id)
        written = path.with_suffix(".new")
        try:
            written.write_bytes(data)
            written.replace(path)
        except OSError as exc:
            raise _refused(path, exc) from None

    def forget(self, camera_id: CameraId) -> None:
        """Remove what a camera has learnt, as after it was aimed anew on purpose.

        Raises:
            StoreError: The file cannot be removed.
        """
        path = self._path(camera_id)
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            raise _refused(path, exc) from None

    def keep_only(self, camera_ids: Collection[CameraId]) -> None:
        """Remove what cameras have learnt that are gone, and what a crash left half written.

        Raises:
            StoreError: The folder or a file cannot be changed.
        """
        kept = {self._path(camera_id) for camera_id in camera_ids}
        try:
            for path in self._folder.iterdir():
                if path not in kept:
                    path.unlink()
        except OSError as exc:
            raise _refused(self._folder, exc) from None

    def _path(self, camera_id: CameraId) -> Path:
        return self._folder / f"{camera_id}{_SUFFIX}"


def _refused(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{path}: cannot be used ({exc.strerror}); make it writable for the daemon's user"
    )
