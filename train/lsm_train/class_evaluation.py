"""Evaluation of a model of several classes, class by class, where labels say enough.

A pixel takes part in a class's figures when its label says that it is of that class or that
it is not; what nobody knows neither helps nor hurts. Nothing is left out that is known: a
pixel of a class that was taken for any other, background included, has been missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ClassWiseParts
from lsm_monitor.model.postprocess import WaterRule, to_frame
from lsm_train.data import ImageArray, Picture
from lsm_train.metrics import PixelCounts
from lsm_train.surfaces import possible_classes

ROADS = "all roads"
"""Every class that is road without standing water, together."""


@dataclass(frozen=True, slots=True)
class ClassEvaluation:
    """Scores of a set of pictures.

    Attributes:
        counts: Pixels of each class, and of ``ROADS``.
        road_share_error: Mean absolute error of the share of the road that is under water,
            over the pictures whose labels tell it; ``None`` without any.
    """

    counts: Mapping[str, PixelCounts]
    road_share_error: float | None

    def as_json(self) -> dict[str, object]:
        """Return what ``lsm-train evaluate --json`` prints of it."""
        return {
            "classes": {
                name: {"iou": c.iou, "precision": c.precision, "recall": c.recall}
                for name, c in self.counts.items()
            },
            "road_share_error": self.road_share_error,
        }


def evaluate_classes(
    model: LsmAdapter, pictures: Iterable[Picture], *, water_rule: WaterRule
) -> ClassEvaluation:
    """Run a class-wise model over the pictures and count.

    Args:
        model: In evaluation mode.
        pictures: Labelled as far as anybody knows.
        water_rule: What counts as water; elsewhere the likeliest other class counts.

    Raises:
        ValueError: The model knows water alone.
    """
    parts = model.head.classwise
    if parts is None:
        msg = "the model has no classes"
        raise ValueError(msg)
    possible = possible_classes(parts.classes).numpy()
    groups = {name: [index] for index, name in enumerate(parts.classes)}
    if parts.road:
        groups[ROADS] = [parts.classes.index(name) for name in parts.road]
    counts = dict.fromkeys(groups, PixelCounts())
    errors: list[float] = []
    for picture in pictures:
        predicted = predict_classes(model, picture.image, parts, water_rule)
        may_be = possible[picture.all_labels]  # (H, W, C)
        for name, members in groups.items():
            inside = np.asarray(may_be[..., members].any(-1))
            outside = np.asarray(np.delete(may_be, members, axis=-1).any(-1))
            sure = inside != outside
            found = torch.from_numpy(np.isin(predicted, members)[sure])
            counts[name] += PixelCounts.of(found, torch.from_numpy(inside[sure]))
        if parts.road:
            errors += _road_share_error(predicted, may_be, groups[ROADS], parts.water_index)
    return ClassEvaluation(counts, sum(errors) / len(errors) if errors else None)


def predict_classes(
    model: LsmAdapter, image: ImageArray, parts: ClassWiseParts, water_rule: WaterRule
) -> npt.NDArray[np.intp]:
    """Return (H, W), the class of each pixel of one (H, W, 3) uint8 RGB picture."""
    prepared = model.preprocessor(image)
    device = next(model.parameters()).device
    with torch.inference_mode():
        inputs = (each[None].to(device) for each in (prepared.image, prepared.equalised))
        class_logits = model(*inputs).class_logits
        letterbox = prepared.letterbox
        logits = to_frame(class_logits, letterbox, letterbox.frame_hw)[0].cpu()
        water = parts.water_index
        probability = water_rule.apply(logits[water].sigmoid().numpy())
        logits[water] = -torch.inf
        otherwise = logits.argmax(0).numpy()
    return np.where(probability >= water_rule.threshold, water, otherwise)


def _road_share_error(
    predicted: npt.NDArray[np.intp],
    may_be: npt.NDArray[np.bool_],
    roads: list[int],
    water: int,
) -> list[float]:
    """Return a picture's error, or nothing where its labels leave road or water open."""
    is_road = may_be[..., [*roads, water]].any(-1)
    is_open = is_road & np.delete(may_be, [*roads, water], axis=-1).any(-1)
    is_open |= may_be[..., water] & (may_be.sum(-1) > 1)
    if is_open.any() or not is_road.any():
        return []
    true = float(may_be[..., water].sum() / is_road.sum())
    seen = np.isin(predicted, [*roads, water]).sum()
    found = float((predicted == water).sum() / seen) if seen else 0.0
    return [abs(found - true)]
