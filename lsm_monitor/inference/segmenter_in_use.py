"""The segmenter that is in use, and how another takes its place while cameras are watched.

A new one is loaded and warmed up elsewhere. It takes over between two batches, in the thread
that owns the accelerator, so that every mask is of one model and nobody waits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from lsm_monitor.inference.batch_times import BatchTimes
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import Frame, ModelIdentity, WaterMask

logger = logging.getLogger(__name__)


class SegmenterInUse:
    """One segmenter at a time.

    :meth:`segment` and :meth:`exchange` belong to the inference thread, :meth:`offer` to any.

    Args:
        first: Ready to run; closed by :meth:`close`, or when another takes its place.

    Attributes:
        on_exchange: Told which model has taken over, in the inference thread, before the
            first mask of it is made.
    """

    def __init__(self, first: Segmenter) -> None:
        self._current = first
        self._offered: Segmenter | None = None
        self._lock = threading.Lock()
        self.on_exchange: Callable[[ModelIdentity], None] = lambda _: None

    @property
    def identity(self) -> ModelIdentity:
        """Which model judges now."""
        return self._current.identity

    @property
    def device(self) -> str:
        """Where the engines run: ``cpu`` or ``cuda``."""
        return self._current.device

    def segment(
        self, frames: Sequence[Frame], times: BatchTimes | None = None
    ) -> list[WaterMask]:
        """Return one mask for each frame, as :meth:`Segmenter.segment`.

        Raises:
            InferenceError: The batch could not be segmented.
        """
        return self._current.segment(frames, times)

    def offer(self, segmenter: Segmenter) -> None:
        """Let ``segmenter``, ready to run, take over at the next exchange."""
        with self._lock:
            superseded, self._offered = self._offered, segmenter
        if superseded is not None:
            superseded.close()

    def exchange(self) -> None:
        """Go over to the segmenter that was offered last, if any, and free the one before."""
        with self._lock:
            offered, self._offered = self._offered, None
        if offered is None:
            return
        before, self._current = self._current, offered
        after = offered.identity
        logger.info("the model %s %s has taken over", after.name, after.version)
        self.on_exchange(after)
        before.close()

    def close(self) -> None:
        """Free all engines. Calling it twice is allowed; segmenting afterwards is not."""
        with self._lock:
            offered, self._offered = self._offered, None
        if offered is not None:
            offered.close()
        self._current.close()
