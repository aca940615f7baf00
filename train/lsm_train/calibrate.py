"""What counts as water: the rule that goes into a bundle."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import MASK_MAX_SIDE_PX, WaterRule
from lsm_train.data import WATER, Picture, shrink
from lsm_train.evaluate import predict

_THRESHOLDS = np.linspace(0.3, 0.9, 25)
_CORE_THRESHOLDS = np.linspace(0.5, 0.975, 20)
_CORE_SHARE = 0.1
_TOLERATED_IOU_LOSS = 0.005
_STEP_BACK = 0.3

Mask = npt.NDArray[np.bool_]
Scored = tuple[npt.NDArray[np.float32], Mask]  # probabilities and true water of a picture


def calibrate(model: LsmAdapter, pictures: Iterable[Picture]) -> WaterRule:
    """Return the rule for a bundle.

    The threshold is the *highest* one whose IoU is within half a point of the best: on the
    plateau around the optimum, the stricter choice costs nothing and rings fewer false
    alarms. The demand for a core is found alike, and then a part of the way back, in logits,
    to the threshold: other floods are seen with less confidence than those of the pictures
    at hand. Without that step, rendered streets seen from a mast lost two thirds of their
    shallow water.
    """
    # At the size at which the daemon applies the rule.
    small = (shrink(picture, MASK_MAX_SIDE_PX) for picture in pictures)
    scored = [
        (predict(model, picture.image).numpy(), picture.labels == WATER) for picture in small
    ]
    by_threshold = [_iou(scored, WaterRule(float(t), float(t), 0.0)) for t in _THRESHOLDS]
    tolerated = max(by_threshold) - _TOLERATED_IOU_LOSS
    threshold = _highest(_THRESHOLDS, by_threshold, at_least=tolerated)
    stricter = _CORE_THRESHOLDS[threshold < _CORE_THRESHOLDS]
    by_core = [_iou(scored, WaterRule(threshold, float(t), _CORE_SHARE)) for t in stricter]
    without_core = _iou(scored, WaterRule(threshold, threshold, 0.0))
    tolerated = without_core - _TOLERATED_IOU_LOSS
    strictest = _highest(stricter, by_core, at_least=tolerated, otherwise=threshold)
    core = _logit(strictest) * (1 - _STEP_BACK) + _logit(threshold) * _STEP_BACK
    return WaterRule(threshold, round(1.0 / (1.0 + math.exp(-core)), 3), _CORE_SHARE)


def _highest(
    candidates: npt.NDArray[np.float64],
    scores: list[float],
    *,
    at_least: float,
    otherwise: float = 0.5,
) -> float:
    good = np.flatnonzero(np.array(scores) >= at_least)
    return round(float(candidates[good[-1]]), 3) if good.size else otherwise


def _iou(scored: Iterable[Scored], rule: WaterRule) -> float:
    """Return the IoU over all pixels; 0 without any water."""
    intersection = union = 0
    for probability, water in scored:
        predicted = rule.apply(probability) >= rule.threshold
        intersection += int((predicted & water).sum())
        union += int((predicted | water).sum())
    return intersection / max(union, 1)


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
