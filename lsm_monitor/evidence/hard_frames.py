"""Pictures about which the model was in doubt, kept for the next training.

A day of each camera is cut into equal slots, and of each slot the most doubtful picture is
kept: so many a day, spread over its light, whatever the camera. ``lsm-monitor export-hard``
picks from them. Written by a thread of its own; what is too much for it is dropped and counted.

``hard_frames/<camera>/<begin of the slot>.jpg`` in the state folder; a file's time is that of
its picture.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from lsm_monitor.evidence.pictures import stored_jpeg
from lsm_monitor.metrics import Metrics
from lsm_monitor.model.postprocess import doubt_of
from lsm_monitor.types import CameraId, Frame, WaterMask

logger = logging.getLogger(__name__)

FOLDER: Final = "hard_frames"
_DAY: Final = timedelta(days=1)
_LEAST_DOUBT: Final = 0.005
_QUEUE_LIMIT: Final = 4
_TICK_S: Final = 0.5
_RESERVE_BYTES: Final = 64 * 2**20
"""So much of the disk is left to the events."""


class HardFrames:
    """Keeps the most doubtful picture of each slot. :meth:`offer` is called by one thread.

    Args:
        state_dir: The daemon's state folder.
        per_day: Slots of a day, per camera.
        max_bytes: Beyond it the oldest pictures go.
        metrics: Counts what is stored, dropped and refused.
    """

    def __init__(
        self, state_dir: Path, *, per_day: int, max_bytes: int, metrics: Metrics
    ) -> None:
        self._folder = state_dir / FOLDER
        self._slot = _DAY / per_day
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._queue: queue.Queue[Frame] = queue.Queue(_QUEUE_LIMIT)
        self._best: dict[CameraId, tuple[datetime, float]] = {}
        self._kept: dict[Path, int] | None = None  # path -> bytes; None: not looked at yet
        self._mine: set[Path] = set()
        self._is_refused = False
        metrics.queue_depth.labels("hard_frames").set_function(self._queue.qsize)

    def offer(self, frame: Frame, mask: WaterMask) -> None:
        """Take a picture if it is the most doubtful of its slot so far; never waits."""
        doubt = doubt_of(mask.probability, mask.threshold)
        slot = self._slot_of(frame.stamp.decoded_at)
        best = self._best.get(frame.stamp.camera_id)
        is_best = best is None or best[0] != slot or doubt > best[1]
        if doubt < _LEAST_DOUBT or not is_best:
            return
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self._metrics.hard_frames.labels("dropped").inc()
        else:
            self._best[frame.stamp.camera_id] = (slot, doubt)

    def run(self, stop: threading.Event) -> None:
        """Store what was taken until ``stop`` is set: the body of a thread."""
        while not stop.is_set():
            try:
                frame = self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                continue
            self._store(frame)

    def _store(self, frame: Frame) -> None:
        stamp = frame.stamp
        name = f"{self._slot_of(stamp.decoded_at):%Y%m%dT%H%M%SZ}.jpg"
        path = self._folder / stamp.camera_id / name
        try:
            if self._kept is None:
                self._kept = {p: p.stat().st_size for p in self._folder.glob("*/*.jpg")}
            if path in self._kept and path not in self._mine:
                return  # of before a restart, and who knows how doubtful
            data = stored_jpeg(frame.image)
            self._check_room(len(data))
            _write(path, data, stamp.decoded_at)
            self._kept[path] = len(data)
            self._mine.add(path)
            self._forget_oldest(self._kept)
        except OSError as exc:
            self._metrics.hard_frames.labels("failed").inc()
            if not self._is_refused:  # once per fault, not once per picture
                logger.warning("hard frames are not kept for now: %s", exc)
            self._is_refused = True
            return
        self._is_refused = False
        self._metrics.hard_frames.labels("stored").inc()

    def _slot_of(self, at: datetime) -> datetime:
        day = datetime.combine(at.astimezone(UTC).date(), datetime.min.time(), UTC)
        return day + (at - day) // self._slot * self._slot

    def _check_room(self, needed_bytes: int) -> None:
        self._folder.mkdir(mode=0o750, exist_ok=True)
        if shutil.disk_usage(self._folder).free < needed_bytes + _RESERVE_BYTES:
            msg = f"{self._folder}: the disk is nearly full; make room"
            raise OSError(msg)

    def _forget_oldest(self, kept: dict[Path, int]) -> None:
        excess_bytes = sum(kept.values()) - self._max_bytes
        for path in sorted(kept, key=lambda path: path.name):
            if excess_bytes <= 0:
                break
            path.unlink(missing_ok=True)
            excess_bytes -= kept.pop(path)
            self._mine.discard(path)


def _write(path: Path, data: bytes, at: datetime) -> None:
    path.parent.mkdir(mode=0o750, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.utime(part, (at.timestamp(), at.timestamp()))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
