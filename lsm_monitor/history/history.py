"""The readings of every zone, for the page: taken in passing, written by a thread of its own.

Whoever judges hands over what it decided and goes on. The file is not the outbox's: a history
that is damaged, too large or too slow costs readings, which are counted, and never an alert.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lsm_monitor.clock import Clock, SettledTime
from lsm_monitor.errors import StoreError
from lsm_monitor.history import query
from lsm_monitor.history.history_file import DamagedHistoryError, HistoryFile, set_aside
from lsm_monitor.history.tiers import HistoryLimits, Reading, ZoneSample
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, DepthInterval, WaterLevel, WaterState, ZoneId

logger = logging.getLogger(__name__)

HISTORY_FILE = "history.sqlite3"
"""Its name in the state folder."""
_WRITE_EVERY_S = 5.0
_QUEUE_LIMIT = 20_000
"""Of a thousand zones at 10 s, more than three minutes."""


class History:
    """Records states and answers questions about the past. Thread-safe.

    Args:
        path: The file; :meth:`run` makes it when it is missing.
        limits: How long readings are kept, and how large the file may become.
        metrics: Counts what is dropped; shows what waits and whether the disk takes it.
        clock: Says what is old.
    """

    def __init__(
        self, path: Path, *, limits: HistoryLimits, metrics: Metrics, clock: Clock
    ) -> None:
        self._path = path
        self._limits = limits
        self._metrics = metrics
        self._time = SettledTime(clock)
        self._lock = threading.Lock()
        self._queue: deque[ZoneSample] = deque()
        self._newest: dict[tuple[CameraId, ZoneId], tuple[datetime | None, WaterLevel]] = {}
        self._file: HistoryFile | None = None
        self._is_writable = True
        self._is_damaged = threading.Event()  # somebody who read has noticed
        metrics.queue_depth.labels("history").set_function(lambda: len(self._queue))
        metrics.history_writable.set(1)

    def record(self, states: Sequence[WaterState]) -> None:
        """Take over what is new in the states of zones; never waits for the disk.

        New is a state that rests on another picture, or that has another level.
        """
        with self._lock:
            for state in states:
                key, new = (state.camera_id, state.zone_id), (state.observed_at, state.level)
                old = self._newest.get(key)
                if new != old:
                    self._newest[key] = new
                    is_seen = old is None or state.observed_at != old[0]
                    self._queue.append(_sample(state, is_seen=is_seen))
            self._bound()

    def run(self, stop: threading.Event) -> None:
        """Write what was recorded, until ``stop`` is set: the body of a thread."""
        try:
            while not stop.wait(_WRITE_EVERY_S):
                self.flush()
            self.flush()
        finally:
            self._close()

    def flush(self) -> None:
        """Write what waits; what the disk refuses waits on. Only for the thread that writes."""
        with self._lock:
            batch, self._queue = self._queue, deque()
        try:
            self._write(batch)
        except StoreError as exc:
            # Closing gives back the file's log, which on a full disk may be the cure.
            self._close()
            with self._lock:
                batch.extend(self._queue)
                self._queue = batch
                self._bound()
            if self._is_writable:  # once per fault, not once per batch
                logger.error("readings are not kept for now: %s", exc)  # noqa: TRY400
            self._is_writable = False
        else:
            if not self._is_writable:
                logger.warning("readings are kept again")
            self._is_writable = True
        self._metrics.history_writable.set(self._is_writable)

    def readings(
        self, camera_id: CameraId, start: datetime, end: datetime, max_points: int
    ) -> dict[ZoneId, list[Reading]]:
        """Return at most ``max_points`` readings of each of a camera's zones, oldest first.

        What was recorded in the last seconds may still be missing. Call it in any thread but
        an event loop's: it waits for the disk.

        Raises:
            ValueError: ``end`` is not after ``start``, or ``max_points`` is below 1.
            StoreError: The file cannot be read.
        """
        try:
            return query.read(self._path, camera_id, start, end, max_points)
        except DamagedHistoryError:
            self._is_damaged.set()
            raise

    def _write(self, batch: Sequence[ZoneSample]) -> None:
        now = self._time.now()
        if self._is_damaged.is_set():
            self._close()
            set_aside(self._path, now=now, why="found by somebody who read it")
            self._is_damaged.clear()
        if self._file is None:
            self._file = HistoryFile.open(self._path, now=now)
        try:
            self._file.write(batch, limits=self._limits, now=now)
        except DamagedHistoryError:
            self._is_damaged.set()
            raise

    def _bound(self) -> None:
        while len(self._queue) > _QUEUE_LIMIT:
            self._queue.popleft()
            self._metrics.history_dropped.inc()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def _sample(state: WaterState, *, is_seen: bool) -> ZoneSample:
    at = state.observed_at if is_seen and state.observed_at is not None else state.since
    depth_cm = None if state.depth is None else _middle_cm(state.depth)
    fraction = state.water_fraction
    reading = Reading(at, fraction, fraction, state.level, depth_cm)
    return ZoneSample(state.camera_id, state.zone_id, reading)


def _middle_cm(depth: DepthInterval) -> float:
    return depth.min_cm if depth.max_cm is None else (depth.min_cm + depth.max_cm) / 2
