"""The guard: is the fitted model worse than the one it was fitted from?

Both are judged by the rule of the deployed bundle, on the same pictures. Where somebody has
drawn masks, IoU decides. Where nobody has, the fitted model must at least mostly agree with the
old one about water on frames that it has not seen, and must not cry on dry ones more often.
Pictures without any water cannot show that a model has forgotten what water is: by them alone
no model is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_train.adapt_config import GuardSection
from lsm_train.data import ImageArray, Picture
from lsm_train.evaluate import evaluate, predict
from lsm_train.metrics import PixelCounts

_ALARM_FRACTION = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class GuardPictures:
    """What both models are judged on.

    Attributes:
        masked: Pictures with masks; may be empty.
        dry: Pictures that are known to be dry; may be empty.
        frames: (H, W, 3) uint8 each, held out, about which nothing is known; may be empty.
    """

    masked: Sequence[Picture]
    dry: Sequence[Picture]
    frames: Sequence[ImageArray]


@dataclass(frozen=True, slots=True)
class Figures:
    """One model on the guard's pictures; ``None`` where there is nothing to measure."""

    iou: float | None
    alarm_share: float | None


@dataclass(frozen=True, slots=True)
class GuardReport:
    """Both models, and what speaks against the fitted one.

    Attributes:
        before: The deployed model.
        after: The fitted model.
        agreement: IoU of both models' water on the held-out frames; ``None`` without water in
            either, or with masks of water, which say more.
        objections: In words; empty when the fitted model may be used.
    """

    before: Figures
    after: Figures
    agreement: float | None
    objections: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the object that goes into the report."""
        return asdict(self)


def compare(
    before: LsmAdapter,
    after: LsmAdapter,
    pictures: GuardPictures,
    *,
    water_rule: WaterRule,
    settings: GuardSection,
) -> GuardReport:
    """Judge both models.

    Args:
        before: The deployed model, in evaluation mode.
        after: The fitted one, as it would be loaded from its bundle.
        pictures: What they are judged on.
        water_rule: What counts as water.
        settings: What is tolerated.
    """
    old, new = (_figures(model, pictures, water_rule) for model in (before, after))
    agreement = None
    if old.iou is None:
        agreement = _agreement(before, after, pictures.frames, water_rule)
    objections = []
    if old.iou is None and agreement is None:
        objections.append(
            "no picture that judges shows water to either model, so it may have forgotten what "
            "water is; give --guard with pictures of floods and their masks"
        )
    if old.iou is not None and (new.iou or 0.0) < old.iou - settings.tolerated_iou_loss:
        objections.append(f"IoU fell from {old.iou:.3f} to {new.iou or 0.0:.3f}")
    if (
        old.alarm_share is not None
        and new.alarm_share is not None
        and new.alarm_share > old.alarm_share + settings.tolerated_alarm_rise
    ):
        objections.append(
            f"false alarms on dry pictures rose from {old.alarm_share:.1%} to "
            f"{new.alarm_share:.1%}"
        )
    if agreement is not None and agreement < settings.least_agreement:
        objections.append(
            f"on held-out frames it agrees with the model before in only {agreement:.2f} of "
            f"the water (guard.least_agreement: {settings.least_agreement:g})"
        )
    return GuardReport(old, new, agreement, tuple(objections))


def _figures(model: LsmAdapter, pictures: GuardPictures, rule: WaterRule) -> Figures:
    masked = evaluate(model, pictures.masked, water_rule=rule)
    dry = evaluate(model, pictures.dry, water_rule=rule)
    dry_scores = (*masked.dry_scores, *dry.dry_scores)
    alarms = sum(score.water_fraction_predicted > _ALARM_FRACTION for score in dry_scores)
    counts = masked.counts
    has_water = bool(counts.true_water + counts.missed_water)
    return Figures(
        iou=counts.iou if has_water else None,
        alarm_share=alarms / len(dry_scores) if dry_scores else None,
    )


def _agreement(
    before: LsmAdapter, after: LsmAdapter, frames: Sequence[ImageArray], rule: WaterRule
) -> float | None:
    counts = PixelCounts()
    for frame in frames:
        old, new = (_water(model, frame, rule) for model in (before, after))
        counts += PixelCounts.of(new, old)
    return counts.iou


def _water(model: LsmAdapter, frame: ImageArray, rule: WaterRule) -> torch.Tensor:
    found = rule.apply(predict(model, frame).numpy()) >= rule.threshold
    return torch.from_numpy(found)
