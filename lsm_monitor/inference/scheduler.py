"""Which frames are looked at next: one per camera in turn, none that is out of date.

With more cameras than the machine can carry every camera is looked at less often, but none is
starved: whoever was served goes to the end of the line. Frames that waited too long are
thrown away and counted, because an old picture of a rising flood is worse than none.

A batch fills by itself while the model is busy. Waiting for more pays only where a full batch
costs hardly more than one frame: on a GPU, and on no CPU that was measured.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping

from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame


class FrameScheduler:
    """Takes frames from the cameras' mailboxes; one thread takes.

    Args:
        mailboxes: For each camera, a function that returns its newest frame, or ``None``,
            and never blocks.
        arrived: Set by whoever puts a frame into a mailbox.
        max_age_s: For each camera, the age from which a frame is dropped.
        max_batch: Most frames of one batch.
        batch_deadline_s: How long the first frame of a batch waits for others; 0 not at all.
        metrics: Counts drops.
        clock: Monotonic time of the stamps.
    """

    def __init__(
        self,
        mailboxes: Mapping[CameraId, Callable[[], Frame | None]],
        *,
        arrived: threading.Event,
        max_age_s: Mapping[CameraId, float],
        max_batch: int,
        batch_deadline_s: float = 0.0,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._mailboxes = dict(mailboxes)
        self._turn = deque(mailboxes)
        self._arrived = arrived
        self._max_age_s = dict(max_age_s)
        self._max_batch = max_batch
        self._batch_deadline_s = batch_deadline_s
        self._metrics = metrics
        self._clock = clock

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
        frames: list[Frame] = []
        for camera_id in tuple(self._turn):
            frame = self._mailboxes[camera_id]()
            if frame is None:
                continue
            self._turn.remove(camera_id)
            self._turn.append(camera_id)
            if self._is_fresh(frame):
                frames.append(frame)
            if len(frames) == limit:
                self._arrived.set()  # others may still wait
                break
        return frames

    def _is_fresh(self, frame: Frame) -> bool:
        age_s = self._clock.monotonic_s() - frame.stamp.decoded_mono_s
        if age_s <= self._max_age_s[frame.stamp.camera_id]:
            return True
        self._metrics.frames.labels(frame.stamp.camera_id, "stale").inc()
        return False
