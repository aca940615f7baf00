"""Temporal smoothing of water masks.

A single mask flickers: rain streaks, headlights and passing cars flip pixels for a frame or
two, while water rises over minutes. The smoother keeps one exponential moving average per
pixel. Its strength is a *time constant in seconds* and not a weight per frame, because the
frame rate is not constant: frames are dropped under load and during reconnects, and a
per-frame weight would make the same flood appear at different speeds on a busy and on an
idle machine.

The average is forgotten when the picture stops being comparable: on a new stream epoch
(the camera may have been moved), when the mask's resolution changes, after ``max_gap_s``
without a frame, and when the clock jumps backwards.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lsm_monitor.types import WaterMask


def ema_weight(dt_s: float, time_constant_s: float) -> float:
    """Return the weight of a new sample that arrives ``dt_s`` seconds after the last one.

    Equal inputs make steps composable: two steps of ``a`` and ``b`` seconds weigh the same
    as one step of ``a + b``. This is what makes the result independent of the frame rate.

    Raises:
        ValueError: ``dt_s`` is negative.
    """
    if dt_s < 0:
        msg = f"time went backwards by {-dt_s:.3f} s; frames must be given in order"
        raise ValueError(msg)
    return -math.expm1(-dt_s / time_constant_s)


class MaskSmoother:
    """Per-pixel exponential moving average for one camera.

    Args:
        time_constant_s: Seconds after which a step change has reached 63 %.
        max_gap_s: A longer pause between two frames starts the average afresh.
    """

    def __init__(self, *, time_constant_s: float, max_gap_s: float) -> None:
        self._time_constant_s = time_constant_s
        self._max_gap_s = max_gap_s
        self._average: npt.NDArray[np.float32] | None = None
        self._epoch = -1
        self._last_s = 0.0

    def update(self, mask: WaterMask) -> npt.NDArray[np.float32]:
        """Add ``mask`` and return the average, (h, w) float32 in [0, 1].

        The returned array is never written to again; it may be the mask's own.
        """
        dt_s = mask.stamp.decoded_mono_s - self._last_s
        average = mask.probability
        if self._average is not None and self._is_comparable(mask, dt_s):
            weight = np.float32(ema_weight(dt_s, self._time_constant_s))
            # average + weight * (probability - average), with one new array instead of three.
            average = mask.probability - self._average
            average *= weight
            average += self._average
        self._average = average
        self._epoch = mask.stamp.stream_epoch
        self._last_s = mask.stamp.decoded_mono_s
        return average

    def _is_comparable(self, mask: WaterMask, dt_s: float) -> bool:
        return (
            self._average is not None
            and mask.stamp.stream_epoch == self._epoch
            and mask.probability.shape == self._average.shape
            and 0.0 <= dt_s <= self._max_gap_s
        )
