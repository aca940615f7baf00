"""Evaluation: what a model gets right, counted in pixels at the pictures' native size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule, logits_to_frame
from lsm_train.data import IGNORED, WATER, ImageArray, Picture
from lsm_train.metrics import PixelCounts, PrecisionRecall, iou
from lsm_train.stages import Branch, segment

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
    """Scores of a set of pictures.

    Attributes:
        water_rule: What counted as water.
        counts: Pixels of all pictures together.
        scores: Of each picture.
        curve: At every threshold, without the rule's demand for a core.
    """

    water_rule: WaterRule
    counts: PixelCounts
    scores: tuple[PictureScore, ...]
    curve: PrecisionRecall

    @property
    def wet_mean_iou(self) -> float | None:
        """Mean IoU of the pictures with water, each counting alike; ``None`` without any."""
        wet = [score.iou for score in self.scores if score.water_fraction_true > 0.0]
        return sum(wet) / len(wet) if wet else None

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
            "threshold": self.water_rule.threshold,
            "precision": self.counts.precision,
            "recall": self.counts.recall,
            "f1": self.counts.f1,
            "iou": self.counts.iou,
            "wet_mean_iou": self.wet_mean_iou,
            "average_precision": self.curve.average_precision,
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


def predict(model: LsmAdapter, image: ImageArray, branch: Branch = "whole") -> torch.Tensor:
    """Return (H, W) float32 water probabilities of one (H, W, 3) uint8 RGB picture."""
    prepared = model.preprocessor(image)
    device = next(model.parameters()).device
    layout = torch.channels_last
    with torch.inference_mode():
        logits = segment(
            model,
            branch,
            prepared.image[None].to(device, memory_format=layout),
            prepared.equalised[None].to(device, memory_format=layout),
        )
        letterbox = prepared.letterbox
        return logits_to_frame(logits, letterbox, letterbox.frame_hw)[0, 0].cpu()


def evaluate(
    model: LsmAdapter,
    pictures: Iterable[Picture],
    *,
    water_rule: WaterRule,
    branch: Branch = "whole",
) -> Evaluation:
    """Run the model over the pictures and count.

    Args:
        model: In evaluation mode.
        pictures: What their labels ignore counts as dry, whatever is found there.
        water_rule: What counts as water.
        branch: The whole model, or one of its two halves alone.
    """
    counts = PixelCounts()
    curve = PrecisionRecall()
    scores = []
    for picture in pictures:
        probability = predict(model, picture.image, branch)
        predicted = torch.from_numpy(water_rule.apply(probability.numpy()))
        valid = torch.from_numpy(picture.labels != IGNORED)
        predicted = (predicted >= water_rule.threshold) & valid
        target = torch.from_numpy(picture.labels == WATER)
        counts += PixelCounts.of(predicted, target)
        curve += PrecisionRecall.of(probability[valid], target[valid])
        scores.append(
            PictureScore(
                name=picture.name,
                water_fraction_true=float(target.float().mean()),
                water_fraction_predicted=float(predicted.float().mean()),
                iou=float(iou(predicted[None], target[None])),
            )
        )
    return Evaluation(water_rule, counts, tuple(scores), curve)
