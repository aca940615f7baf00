"""Which frames are looked at next: one per camera in turn, none that is out of date.

Of each camera only the newest frame waits: a live monitor must show the present, so a full
queue would be worse than a lost frame. With more cameras than the machine can carry every
camera is looked at less often, but none is starved: whoever was served goes to the end of the
line. Frames that waited too long are thrown away and counted, because an old picture of a
rising flood is worse than none; so is the oldest one when all of them need too much memory.

A batch fills by itself while the model is busy. Waiting for more pays only where a full batch
costs hardly more than one frame: on a GPU, and on no CPU that was measured.
"""

from __future__ import annotations

import threading

from lsm_monitor.clock import Clock
from lsm_monitor.inference.demand import Demand
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame

MAX_WAITING_BYTES = 1 << 30
"""170 pictures at 1080p: a thousand cameras must not fill the memory of a slow machine."""

_MAX_AGE_INTERVALS = 3.0
"""The newest frame of a live camera is at most one interval old; an older one is history."""


class FrameScheduler:
    """Where frames wait for the model. One thread takes; anybody may put, watch and forget.

    Args:
        max_batch: Most frames of one batch.
        batch_deadline_s: How long the first frame of a batch waits for others; 0 not at all.
        metrics: Counts drops.
        clock: Monotonic time of the stamps.
        arrived: Set when there is a frame; for tests.
        max_waiting_bytes: Most memory of frames that wait; one always may.
    """

    def __init__(
        self,
        *,
        max_batch: int,
        batch_deadline_s: float = 0.0,
        metrics: Metrics,
        clock: Clock,
        arrived: threading.Event | None = None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._max_batch = max_batch
        self._max_waiting_bytes = max_waiting_bytes
        self._batch_deadline_s = batch_deadline_s
        self._metrics = metrics
        self._clock = clock
        self._arrived = arrived or threading.Event()
        self._lock = threading.Lock()
        self._demand = Demand()
        # In the order of their turn: the longest unserved first.
        self._max_age_s: dict[CameraId, float] = {}
        self._waiting: dict[CameraId, Frame] = {}  # in the order of their arrival
        self._waiting_bytes = 0
        metrics.queue_depth.labels("frames").set_function(lambda: len(self._waiting))

    @property
    def waiting(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    def demand_per_s(self) -> float:
        """Return how many frames a second the watched cameras are going to bring."""
        with self._lock:
            return self._demand.per_s(self._clock.monotonic_s())

    def watch(self, camera_id: CameraId, *, interval_s: float) -> None:
        """Expect frames of a camera this far apart, and drop those three intervals old."""
        with self._lock:
            self._max_age_s[camera_id] = _MAX_AGE_INTERVALS * interval_s
            self._demand.expect(camera_id, interval_s)

    def forget(self, camera_id: CameraId) -> None:
        """Expect no more frames of a camera; one that waits is dropped."""
        with self._lock:
            self._max_age_s.pop(camera_id, None)
            self._demand.forget(camera_id)
            self._remove(camera_id)

    def is_watched(self, camera_id: CameraId) -> bool:
        """Return whether frames of a camera are expected: it may be forgotten meanwhile."""
        return camera_id in self._max_age_s

    def put(self, frame: Frame) -> None:
        """Offer a frame; never blocks. Replacing one that nobody took is counted."""
        camera_id = frame.stamp.camera_id
        with self._lock:
            if camera_id not in self._max_age_s:
                return
            self._demand.came(camera_id, self._clock.monotonic_s())
            if self._remove(camera_id) is not None:
                self._count_lost(camera_id, "dropped")
            self._add(frame)
            while self._waiting_bytes > self._max_waiting_bytes and len(self._waiting) > 1:
                oldest = next(iter(self._waiting))
                self._remove(oldest)
                self._count_lost(oldest, "dropped")
        self._arrived.set()

    def take_batch(self, timeout_s: float) -> list[Frame]:
        """Return the waiting frames of up to ``max_batch`` cameras, longest unserved first.

        A batch never waits for a slow camera: it is what is there ``batch_deadline_s`` after
        its first frame, or earlier when it is full. Empty when nothing came within
        ``timeout_s``, or when woken for nothing.
        """
        batch = self._take(timeout_s, self._max_batch)
        deadline_s = self._clock.monotonic_s() + self._batch_deadline_s
        while batch and len(batch) < self._max_batch:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                break
            batch += self._take(left_s, self._max_batch - len(batch))
        return batch

    def _take(self, timeout_s: float, limit: int) -> list[Frame]:
        """Return up to ``limit`` frames, those that are there once there is one."""
        self._arrived.wait(timeout_s)
        # Cleared before looking: a frame that arrives during the look sets it again.
        self._arrived.clear()
        with self._lock:
            turn = [camera_id for camera_id in self._max_age_s if camera_id in self._waiting]
            for camera_id in turn:
                if not self._is_fresh(self._waiting[camera_id]):
                    self._remove(camera_id)
                    self._count_lost(camera_id, "stale")
            fresh = [camera_id for camera_id in turn if camera_id in self._waiting]
            taken = [self._remove(camera_id) for camera_id in fresh[:limit]]
            for camera_id in fresh[:limit]:  # to the end of the line
                self._max_age_s[camera_id] = self._max_age_s.pop(camera_id)
        if len(fresh) > limit:
            self._arrived.set()
        return [frame for frame in taken if frame is not None]

    def _add(self, frame: Frame) -> None:
        self._waiting[frame.stamp.camera_id] = frame
        self._waiting_bytes += frame.image.nbytes

    def _remove(self, camera_id: CameraId) -> Frame | None:
        frame = self._waiting.pop(camera_id, None)
        if frame is not None:
            self._waiting_bytes -= frame.image.nbytes
        return frame

    def _is_fresh(self, frame: Frame) -> bool:
        age_s = self._clock.monotonic_s() - frame.stamp.decoded_mono_s
        return age_s <= self._max_age_s[frame.stamp.camera_id]

    def _count_lost(self, camera_id: CameraId, stage: str) -> None:
        self._metrics.frames.labels(camera_id, stage).inc()
