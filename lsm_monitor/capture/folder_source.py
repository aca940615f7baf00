"""Pictures that a snapshot camera uploads into a folder.

Live, the newest picture not seen yet is taken once per interval. What counts is when a file was
last modified: a camera may write ever new names or overwrite one. One whose upload brings the
time of a clock that runs ahead counts from when it came here. Pictures older than the
stall limit, ``max(read_timeout_s, 3 * interval_s)``, are history and never taken for the
present, so a restart does not judge yesterday's upload; nothing new for that long is a stall.

A picture that is still being written has no end mark. It is skipped, counted once, and looked
at again when the file has changed; meanwhile the next newest one may serve.

``replay`` yields all pictures in the order of their names, one per interval of its own clock.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.capture.still import decode_picture
from lsm_monitor.capture.waiting import wait_interval
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceEndedError, SourceOpenError, SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class _Version(NamedTuple):
    """One state of one file; sorts by age, the name decides between equals."""

    modified_ns: int
    name: str
    size_bytes: int


class FolderSource:
    """An open folder; see :class:`~lsm_monitor.capture.source.Source`.

    Args:
        spec: ``url`` is the folder's path.
        metrics: Counts pictures.
        clock: Wall clock for the age of files, monotonic clock for stalls.
        replay: All pictures by name instead of the newest as it comes.

    Raises:
        SourceOpenError: There is no such folder, or it cannot be read.
    """

    def __init__(
        self, spec: SourceSpec, *, metrics: Metrics, clock: Clock, replay: bool
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._metrics = metrics
        self._replay = replay
        self._folder = Path(spec.url)
        self._interval_s = spec.interval_s
        self._who = f"camera '{spec.camera_id}': folder {spec.url}"
        oldest_ns = int((clock.now().timestamp() - self._stall_s) * 1e9)
        self._newest_seen = _Version(oldest_ns, "", 0)
        self._broken: set[_Version] = set()
        self._sequence = -1
        self._list()

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Yield one picture per interval; see :class:`~lsm_monitor.capture.source.Source`."""
        return self._replayed(stop) if self._replay else self._live(stop)

    @property
    def _stall_s(self) -> float:
        return max(self._spec.read_timeout_s, 3 * self._interval_s)

    def retime(self, interval_s: float) -> None:
        """Look once per ``interval_s`` from now on."""
        self._interval_s = interval_s

    def facts(self) -> SourceFacts:
        """Return what is known by now."""
        return SourceFacts("images", fps=None, keyframe_interval_s=None, has_timestamps=False)

    def close(self) -> None:
        """Nothing is held open."""

    def _live(self, stop: threading.Event) -> Iterator[Picture]:
        last_new_s = self._clock.monotonic_s()
        while not stop.is_set():
            picture = self._newest()
            if picture is not None:
                yield picture
                last_new_s = self._clock.monotonic_s()
            elif self._clock.monotonic_s() - last_new_s > self._stall_s:
                msg = (
                    f"{self._who} got no new picture for {self._stall_s:g} s; check that the "
                    "camera uploads JPEG or PNG files to it"
                )
                raise SourceStalledError(msg, HealthCode.STALLED)
            now_s = self._clock.monotonic_s()
            wait_interval(stop, self._clock, now_s, lambda: self._interval_s)

    def _replayed(self, stop: threading.Event) -> Iterator[Picture]:
        slots = itertools.count()
        for version in sorted(self._list(), key=lambda version: version.name):
            if stop.is_set():
                return
            image = self._read(version)
            if image is not None:
                yield self._picture(image, pts_s=next(slots) * self._spec.interval_s)
        msg = f"{self._who} has no more pictures"
        raise SourceEndedError(msg, HealthCode.ENDED)

    def _newest(self) -> Picture | None:
        """Return the newest readable picture that was not seen yet."""
        versions = self._list()
        self._broken.intersection_update(versions)
        for version in sorted(versions, reverse=True):
            if version <= self._newest_seen:
                return None
            if version in self._broken:
                continue
            image = self._read(version)
            if image is not None:
                self._newest_seen = version
                return self._picture(image, pts_s=None)
            self._broken.add(version)
        return None

    def _picture(self, image: npt.NDArray[np.uint8], pts_s: float | None) -> Picture:
        self._sequence += 1
        self._metrics.frames.labels(self._spec.camera_id, "decoded").inc()
        return Picture(pts_s, self._sequence, image)

    def _list(self) -> list[_Version]:
        """Return the pictures in the folder.

        Raises:
            SourceOpenError: The folder is gone.
        """
        code = HealthCode.NOT_FOUND
        try:
            return [
                version
                for path in self._folder.iterdir()
                if path.suffix.lower() in _SUFFIXES and (version := _version(path)) is not None
            ]
        except PermissionError:
            code = HealthCode.UNAUTHORIZED
        except OSError:
            code = HealthCode.NOT_FOUND
        why = "no permission" if code is HealthCode.UNAUTHORIZED else "no such folder"
        msg = (
            f"{self._who} cannot be read ({why}); "
            f"check 'cameras.{self._spec.camera_id}.url' and who owns the folder"
        )
        raise SourceOpenError(msg, code)

    def _read(self, version: _Version) -> npt.NDArray[np.uint8] | None:
        """Return (H, W, 3) uint8 RGB, or ``None``, counted, when it cannot be read (yet)."""
        self._metrics.frames.labels(self._spec.camera_id, "received").inc()
        image = _decode_file(self._folder / version.name)
        if image is None:
            self._metrics.packets_skipped.labels(self._spec.camera_id, "corrupt").inc()
        return image


def _version(path: Path) -> _Version | None:
    """Return the file's state; ``None`` when it is gone, as uploads are renamed when done."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    # Some file systems over a network do not say when a file came here.
    came_ns = stat.st_ctime_ns or stat.st_mtime_ns
    return _Version(min(stat.st_mtime_ns, came_ns), path.name, stat.st_size)


def _decode_file(path: Path) -> npt.NDArray[np.uint8] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return decode_picture(data)
