"""Where the time of one batch goes: the stages of ``lsm_inference_duration_seconds``."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum


class BatchStage(StrEnum):
    """What is done with a batch, in this order. Values are part of the metrics' contract."""

    PREPROCESS = "preprocess"
    """Resizing, normalisation, frequencies."""
    ENCODER = "encoder"
    DECODER = "decoder"
    """The whole head: small model, prompts, mask decoder."""
    POST = "post"
    """Probabilities in the frame's size, and what counts as water."""


class BatchTimes:
    """Adds up the seconds of each stage; for one batch and one thread.

    On a GPU, PyTorch's work goes on while we do: what is not done yet counts to the stage that
    waits for it.

    Args:
        now_s: Monotonic clock, in seconds.

    Attributes:
        seconds: Of each stage, so far.
    """

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._now_s = now_s
        self._since_s = now_s()
        self.seconds = dict.fromkeys(BatchStage, 0.0)

    def end(self, stage: BatchStage) -> None:
        """Count the time since the stage before to ``stage``."""
        now_s = self._now_s()
        self.seconds[stage] += now_s - self._since_s
        self._since_s = now_s
