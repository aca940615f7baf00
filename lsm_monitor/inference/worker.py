"""The one thread that owns the accelerator: frames in, masks out, and on to the decision.

A frame that breaks the model costs itself and nothing else: when a batch fails, its frames
are tried one by one, and what still fails is counted and skipped. This is one of the two
places that catch every exception, because a thread that dies quietly leaves a daemon that
lives on without eyes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from lsm_monitor.clock import Clock
from lsm_monitor.inference.batch_times import BatchStage, BatchTimes
from lsm_monitor.inference.governor import LoadGovernor
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import Frame, WaterMask

logger = logging.getLogger(__name__)

_TICK_S = 0.5
"""Longest wait for a frame: how often time alone may change a state (``unknown``)."""
_LOAD_WINDOW_S = 10.0


class MaskMaker(Protocol):
    """What the worker needs of a segmenter."""

    def segment(self, frames: Sequence[Frame], times: BatchTimes) -> list[WaterMask]:
        """Return one mask per frame, in order; ``times`` is told when each stage ends."""
        ...


class InferenceWorker:
    """Runs batches until it is stopped.

    Args:
        scheduler: Where the frames come from.
        segmenter: Makes masks.
        on_mask: Receives each frame and its mask, in this thread.
        on_tick: Called after each batch and at least every half second, in this thread.
        on_stretch: Told how much longer than configured the cameras' intervals must be, when
            that changes; in this thread.
        metrics: Counts frames and times batches.
        clock: Monotonic time.
    """

    def __init__(
        self,
        *,
        scheduler: FrameScheduler,
        segmenter: MaskMaker,
        on_mask: Callable[[Frame, WaterMask], None],
        on_tick: Callable[[], None],
        on_stretch: Callable[[float], None] = lambda _: None,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._scheduler = scheduler
        self._segmenter = segmenter
        self._on_mask = on_mask
        self._on_tick = on_tick
        self._on_stretch = on_stretch
        self._governor = LoadGovernor()
        self._metrics = metrics
        self._clock = clock
        for stage in BatchStage:
            # Zero before the first batch: an alarm that nothing is judged needs a number.
            metrics.inference_s.labels(stage)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; the wait for frames bounds how long that takes."""
        self._begin_window()
        while not stop.is_set():
            frames = self._scheduler.take_batch(_TICK_S)
            began_s = self._clock.monotonic_s()
            if frames:
                self._judge(frames)
            self._on_tick()
            if frames:
                self._judged += len(frames)
                self._busy_s += self._clock.monotonic_s() - began_s
            if self._clock.monotonic_s() - self._window_began_s >= _LOAD_WINDOW_S:
                self._govern()

    def _begin_window(self) -> None:
        self._window_began_s = self._clock.monotonic_s()
        self._busy_s, self._judged = 0.0, 0

    def _govern(self) -> None:
        """Adapt the cameras' intervals to what the last window has shown."""
        before = self._governor.stretch
        after = self._governor.update(
            demand_per_s=self._scheduler.demand_per_s(),
            waiting=self._scheduler.waiting,
            judged=self._judged,
            busy_s=self._busy_s,
        )
        if after != before:
            self._metrics.interval_stretch.set(after)
            self._on_stretch(after)
        self._begin_window()

    def _judge(self, frames: list[Frame]) -> None:
        masks = self._segment(frames)
        if masks is None and len(frames) > 1:
            single = [self._segment([frame]) for frame in frames]
            masks = [mask for result in single if result is not None for mask in result]
        judged = {frame.stamp: frame for frame in frames}
        for mask in masks or ():
            if not self._scheduler.is_watched(mask.stamp.camera_id):
                continue  # removed while the model looked: its numbers are forgotten
            self._metrics.frames.labels(mask.stamp.camera_id, "inferred").inc()
            self._on_mask(judged[mask.stamp], mask)
            age_s = self._clock.monotonic_s() - mask.stamp.decoded_mono_s
            self._metrics.frame_age_s.observe(age_s)

    def _segment(self, frames: list[Frame]) -> list[WaterMask] | None:
        times = BatchTimes(self._clock.monotonic_s)
        try:
            masks = self._segmenter.segment(frames, times)
        except Exception:
            if len(frames) == 1:
                camera_id = frames[0].stamp.camera_id
                if self._scheduler.is_watched(camera_id):
                    self._metrics.frames.labels(camera_id, "failed").inc()
                logger.exception("camera %r: the model failed on a frame; skipped", camera_id)
            return None
        for stage, seconds in times.seconds.items():
            self._metrics.inference_s.labels(stage).observe(seconds)
        return masks
