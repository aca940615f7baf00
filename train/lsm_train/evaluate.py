"""Evaluation: what a model gets right, counted in pixels at the pictures' native size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lsm_monitor.model.postprocess import logits_to_frame
from lsm_monitor.model.preprocess import preprocess
from lsm_train.data import WATER, ImageArray, Picture
from lsm_train.metrics import PixelCounts, iou

ALARM_FRACTIONS = (0.02, 0.05)


@dataclass(frozen=True, slots=True)
class PictureScore:
    """What was found in one picture.

    Attributes:
        name: Stem of the file.
        water_fraction_true: Share of its pixels that are water, [0, 1].
        water_fraction_predicted: Share that was predicted, [0, 1].
        iou: Intersection over union; 1 for a dry picture that was predicted dry.
    """

    name: str
    water_fraction_true: float
    water_fraction_predicted: float
    iou: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a set of pictures."""

    threshold: float
    counts: PixelCounts
    scores: tuple[PictureScore, ...]

    @property
    def dry_scores(self) -> tuple[PictureScore, ...]:
        """Those of pictures without any water."""
        return tuple(score for score in self.scores if score.water_fraction_true == 0.0)

    def alarm_share(self, fraction: float) -> float | None:
        """Return the share of dry pictures predicted wetter than ``fraction``.

        ``None`` without dry pictures.
        """
        dry = self.dry_scores
        alarms = sum(score.water_fraction_predicted > fraction for score in dry)
        return alarms / len(dry) if dry else None

    def as_json(self, bundle: str, *, per_image: bool) -> dict[str, object]:
        """Return the object that ``lsm-train evaluate --json`` prints."""
        result: dict[str, object] = {
            "bundle": bundle,
            "pictures": len(self.scores),
            "threshold": self.threshold,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "f1": self.counts.f1,
            "iou": self.counts.iou,
            "dry_pictures": len(self.dry_scores),
            "alarm_share": {f"{key:g}": self.alarm_share(key) for key in ALARM_FRACTIONS},
        }
        if per_image:
            result["per_image"] = [
                {
                    "name": score.name,
                    "water_fraction_true": score.water_fraction_true,
                    "water_fraction_predicted": score.water_fraction_predicted,
                    "iou": score.iou,
                }
                for score in self.scores
            ]
        return result


def predict(model: nn.Module, image: ImageArray, input_size_px: int) -> torch.Tensor:
    """Return (H, W) float32 water probabilities of one (H, W, 3) uint8 RGB picture."""
    tensor, letterbox = preprocess(image, input_size_px)
    with torch.inference_mode():
        logits = model(tensor[None].contiguous(memory_format=torch.channels_last))
        return logits_to_frame(logits, letterbox, letterbox.frame_hw)[0, 0]


def evaluate(
    model: nn.Module, pictures: Iterable[Picture], *, input_size_px: int, threshold: float
) -> Evaluation:
    """Run the model over the pictures and count.

    Args:
        model: In evaluation mode, (1, 3, S, S) -> (1, 1, h, w) logits.
        pictures: Labels must not have ignored pixels.
        input_size_px: Side S of the model input.
        threshold: Probability from which a pixel counts as water.
    """
    counts = PixelCounts()
    scores = []
    for picture in pictures:
        predicted = predict(model, picture.image, input_size_px) >= threshold
        target = torch.from_numpy(picture.labels == WATER)
        counts += PixelCounts.of(predicted, target)
        scores.append(
            PictureScore(
                name=picture.name,
                water_fraction_true=float(target.float().mean()),
                water_fraction_predicted=float(predicted.float().mean()),
                iou=float(iou(predicted[None], target[None])),
            )
        )
    return Evaluation(threshold, counts, tuple(scores))


def calibrate(model: nn.Module, pictures: Iterable[Picture], *, input_size_px: int) -> float:
    """Return the threshold for a bundle.

    It is the *highest* one whose IoU is within half a point of the best: on the plateau
    around the optimum, the stricter choice costs nothing and rings fewer false alarms.
    """
    thresholds = np.linspace(0.3, 0.9, 25)
    intersections = np.zeros(len(thresholds))
    unions = np.zeros(len(thresholds))
    for picture in pictures:
        probability: npt.NDArray[np.float32] = predict(
            model, picture.image, input_size_px
        ).numpy()
        water = picture.labels == WATER
        for index, threshold in enumerate(thresholds):
            predicted = probability >= threshold
            intersections[index] += (predicted & water).sum()
            unions[index] += (predicted | water).sum()
    scores = intersections / np.maximum(unions, 1.0)
    good = np.flatnonzero(scores >= scores.max() - 0.005)
    return round(float(thresholds[good[-1]]), 3)
