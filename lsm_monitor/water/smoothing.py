"""Temporal smoothing of water masks: which pixels are under water, whatever passes by.

Cars, people and wipers hide water for a frame or two, headlights and rain streaks feign it,
while water itself comes and goes over minutes. Each pixel is a hidden two-state chain, dry
or water, and the smoother keeps the probability of *water* given all frames so far (a Bayes
filter). A frame that shows a wet pixel dry is weak evidence, because something may stand in
front of it; one that shows a dry pixel wet is strong. That asymmetry is what an average or a
median lacks; ``benchmarks/results.md`` compares them.

Everything is in seconds and not in frames, because the frame rate is not constant. Frames
that follow each other closely show the same car, so a frame's evidence counts by the time
since the last one. The belief is forgotten when the picture stops being comparable: on a new
stream epoch (the camera may have been moved), when the mask's resolution changes, after
``max_gap_s`` without a frame, and when the clock jumps backwards.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lsm_monitor.types import WaterMask

BELIEVED_FROM = 0.5
"""Belief from which a pixel counts as water."""
# Shares of the frames in which a pixel looks like what it is not.
_WATER_LOOKS_DRY = 0.2
_DRY_LOOKS_WET = 0.05
_LOG_ODDS_SEEN_WET = math.log((1 - _WATER_LOOKS_DRY) / _DRY_LOOKS_WET)
_LOG_ODDS_SEEN_DRY = math.log(_WATER_LOOKS_DRY / (1 - _DRY_LOOKS_WET))
# In units of ``smoothing_s``: what passes is gone after half of one, water stays for thirty.
_PASSES_WITHIN = 0.5
_STAYS_FOR = 30.0
_FIRST_EVIDENCE = 0.25
"""The first frame decides while it is alone; the next may overrule it."""
# Beliefs are kept as 16-bit fixed point: half the memory of float32, for up to 1,000 cameras.
_ONE = 65535


class MaskSmoother:
    """Per-pixel Bayes filter for one camera.

    Args:
        smoothing_s: Scale of all its times. Water that appears at once is believed after one
            to two of them, at intervals up to that; so is its end.
        max_gap_s: A longer pause between two frames starts afresh.
    """

    def __init__(self, *, smoothing_s: float, max_gap_s: float) -> None:
        self._smoothing_s = smoothing_s
        self._max_gap_s = max_gap_s
        self._belief: npt.NDArray[np.uint16] | None = None
        self._epoch = -1
        self._last_s = 0.0

    def update(self, mask: WaterMask) -> npt.NDArray[np.float32]:
        """Add ``mask`` and return the belief.

        Returns:
            (h, w) float32 in [0, 1], the probability that each pixel is under water; from
            ``BELIEVED_FROM`` on it counts as water. The caller's own.
        """
        dt_s = mask.stamp.decoded_mono_s - self._last_s
        if self._belief is not None and self._is_comparable(mask, dt_s):
            prior = self._predicted(self._belief, dt_s)
            evidence = -math.expm1(-dt_s / (_PASSES_WITHIN * self._smoothing_s))
        else:
            prior = np.full(mask.probability.shape, BELIEVED_FROM, np.float32)
            evidence = _FIRST_EVIDENCE
        looks_wet = mask.probability >= mask.threshold
        odds = np.where(
            looks_wet,
            np.float32(math.exp(evidence * _LOG_ODDS_SEEN_WET)),
            np.float32(math.exp(evidence * _LOG_ODDS_SEEN_DRY)),
        )
        # Bayes' rule in odds: b' = odds b / (1 + (odds - 1) b).
        belief = odds * prior
        belief /= 1 - prior + belief
        self._belief = np.rint(belief * _ONE).astype(np.uint16)
        self._epoch = mask.stamp.stream_epoch
        self._last_s = mask.stamp.decoded_mono_s
        return belief

    def _predicted(
        self, belief: npt.NDArray[np.uint16], dt_s: float
    ) -> npt.NDArray[np.float32]:
        """Return the belief ``dt_s`` later, before anything new was seen."""
        changed = -0.5 * math.expm1(-2 * dt_s / (_STAYS_FOR * self._smoothing_s))
        # b + changed (1 - 2b), straight from the fixed-point numbers.
        prior = belief * np.float32((1 - 2 * changed) / _ONE)
        prior += np.float32(changed)
        return prior

    def _is_comparable(self, mask: WaterMask, dt_s: float) -> bool:
        return (
            self._belief is not None
            and mask.stamp.stream_epoch == self._epoch
            and mask.probability.shape == self._belief.shape
            and 0.0 <= dt_s <= self._max_gap_s
        )
