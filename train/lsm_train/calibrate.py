"""What counts as water: the rule that goes into a bundle."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import MASK_MAX_SIDE_PX, WaterRule
from lsm_train.data import IGNORED, WATER, Picture, shrink
from lsm_train.errors import DataError
from lsm_train.evaluate import predict

logger = logging.getLogger(__name__)

_THRESHOLDS = np.linspace(0.3, 0.9, 25)
_CORE_THRESHOLDS = np.linspace(0.5, 0.975, 20)
_CORE_SHARE = 0.1
_TOLERATED_IOU_LOSS = 0.005

Mask = npt.NDArray[np.bool_]
Scored = tuple[npt.NDArray[np.float32], Mask, Mask]
"""Of a picture: probabilities, true water, and of which pixels somebody knows."""


def calibrate(model: LsmAdapter, pictures: Iterable[Picture]) -> WaterRule:
    """Return the rule for a bundle.

    Rules are compared by the mean IoU of the data sets that have water, so that streets from
    masts count as much as streets at eye level, however many pixels either has. The threshold
    is the *highest* one whose IoU is within half a point of the best: on the plateau around
    the optimum, the stricter choice costs nothing and rings fewer false alarms. The demand
    for a core is found alike.

    Raises:
        DataError: No picture has water: every rule that finds none would be as good.
    """
    # At the size at which the daemon applies the rule.
    small = (shrink(picture, MASK_MAX_SIDE_PX) for picture in pictures)
    scored: dict[str, list[Scored]] = {}
    for picture in small:
        probability = predict(model, picture.image).numpy()
        labels = picture.labels
        scored.setdefault(picture.dataset, []).append(
            (probability, labels == WATER, labels != IGNORED)
        )
    if not any(_has_water(group) for group in scored.values()):
        msg = (
            "no val picture shows water, so no threshold can be chosen; add some with masks, "
            "or rendered.validation_streets to the recipe"
        )
        raise DataError(msg)
    by_threshold = [_mean_iou(scored, WaterRule.plain(float(t))) for t in _THRESHOLDS]
    if not any(by_threshold):
        logger.warning(
            "the model finds no water in any val picture, whatever the threshold: a daemon "
            "with this bundle would be silent about every flood; train longer"
        )
    tolerated = max(by_threshold) - _TOLERATED_IOU_LOSS
    threshold = _highest(_THRESHOLDS, by_threshold, at_least=tolerated)
    stricter = _CORE_THRESHOLDS[threshold < _CORE_THRESHOLDS]
    by_core = [_mean_iou(scored, WaterRule(threshold, float(t), _CORE_SHARE)) for t in stricter]
    without_core = _mean_iou(scored, WaterRule.plain(threshold))
    tolerated = without_core - _TOLERATED_IOU_LOSS
    strictest = _highest(stricter, by_core, at_least=tolerated, otherwise=threshold)
    return WaterRule(threshold, strictest, _CORE_SHARE)


def _highest(
    candidates: npt.NDArray[np.float64],
    scores: list[float],
    *,
    at_least: float,
    otherwise: float = 0.5,
) -> float:
    good = np.flatnonzero(np.array(scores) >= at_least)
    return round(float(candidates[good[-1]]), 3) if good.size else otherwise


def _mean_iou(scored: Mapping[str, Sequence[Scored]], rule: WaterRule) -> float:
    """Return the mean over the data sets that have water."""
    ious = [_iou(group, rule) for group in scored.values() if _has_water(group)]
    return sum(ious) / len(ious)


def _has_water(group: Iterable[Scored]) -> bool:
    return any(water.any() for _, water, _ in group)


def _iou(scored: Iterable[Scored], rule: WaterRule) -> float:
    """Return the IoU over all pixels of which somebody knows."""
    intersection = union = 0
    for probability, water, is_known in scored:
        predicted = (rule.apply(probability) >= rule.threshold) & is_known
        intersection += int((predicted & water).sum())
        union += int((predicted | water).sum())
    return intersection / max(union, 1)
