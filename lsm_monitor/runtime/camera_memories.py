"""What the cameras have learnt about their views, one small file each in the state folder.

A file is replaced as a whole, so that a crash leaves the old one or the new one; it is not
synchronised to the disk, because what a power cut takes is learnt again in minutes. What
cannot be used is removed and learnt anew: nothing here may keep a camera from being watched.
The first line says what the view was learnt for: a file may change while the daemon is stopped.
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
        state_dir: The daemon's state folder; ``views`` is made in it, at the latest when
            there is something to keep.
    """

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / FOLDER
        try:
            self._make_folder()
        except OSError as exc:
            refused = _refused(self._folder, exc)
            logger.warning("a restart will have cameras learn their views anew: %s", refused)

    def load(self, camera_id: CameraId, aim: str) -> bytes | None:
        """Return what :meth:`save` was given; ``None`` when there is nothing that can be used.

        What was learnt for another ``aim`` is removed.

        Raises:
            StoreError: The file is there and cannot be read.
        """
        path = self._path(camera_id)
        try:
            learnt_for, _, data = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise _refused(path, exc) from None
        if learnt_for != aim.encode():
            logger.info(
                "camera '%s' has another address or zones; it learns its view anew", camera_id
            )
            self.forget(camera_id)
            return None
        try:
            CameraMemory.from_bytes(data)
        except CameraMemoryError as exc:
            logger.warning("camera '%s': %s; it learns its view anew", camera_id, exc)
            self.forget(camera_id)
            return None
        return data

    def save(self, camera_id: CameraId, aim: str, data: bytes) -> None:
        """Keep ``data``, from :meth:`CameraMemory.to_bytes`, instead of what was there.

        Args:
            camera_id: Key of the camera in the configuration.
            aim: See :class:`~lsm_monitor.capture.watched.WatchedCamera`.
            data: What it has learnt.

        Raises:
            StoreError: It cannot be written, as on a full disk; the old file stays.
        """
        path = self._path(camera_id)
        written = path.with_suffix(".new")
        try:
            self._make_folder()
            written.write_bytes(aim.encode() + b"\n" + data)
            written.replace(path)
        except OSError as exc:
            raise _refused(path, exc) from None

    def forget(self, camera_id: CameraId) -> None:
        """Remove what a camera has learnt, as after its zones were drawn anew.

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

        What cannot be removed stays, and is told once: it takes room, and does no harm.
        """
        kept = {self._path(camera_id) for camera_id in camera_ids}
        refused: list[StoreError] = []
        try:
            for path in list(self._folder.iterdir()):
                if path not in kept:
                    self._remove(path, refused)
        except (FileNotFoundError, NotADirectoryError):
            return  # told when it could not be made
        except OSError as exc:
            refused.append(_refused(self._folder, exc))
        if refused:
            others = f", and {len(refused) - 1} more like it" if refused[1:] else ""
            logger.warning(
                "what no camera needs any more stays: %s%s; or remove it yourself",
                refused[0],
                others,
            )

    def _remove(self, path: Path, refused: list[StoreError]) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as exc:
            refused.append(_refused(path, exc))

    def _make_folder(self) -> None:
        self._folder.mkdir(mode=0o750, exist_ok=True)

    def _path(self, camera_id: CameraId) -> Path:
        return self._folder / f"{camera_id}{_SUFFIX}"


def _refused(path: Path, exc: OSError) -> StoreError:
    return StoreError(
        f"{path}: cannot be used ({exc.strerror}); make it writable for the daemon's user"
    )
