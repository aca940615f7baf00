"""Recipe of ``lsm-train adapt``: everything that decides how a bundle is fitted to cameras."""

from __future__ import annotations

from pydantic import Field

from lsm_train.config import OptimiserSection, Section


class AdaptLossesSection(Section):
    """Weights of :mod:`lsm_train.adapt_losses`, as published."""

    focal: float = Field(default=20.0, ge=0.0)
    dice: float = Field(default=1.0, ge=0.0)
    anchor: float = Field(default=0.5, ge=0.0)
    contrast: float = Field(default=1.0, ge=0.0)
    temperature: float = Field(default=0.3, gt=0.0)


class PseudoLabelsSection(Section):
    """How the teacher's probabilities become labels, see :mod:`lsm_train.hints`."""

    water_above: float = Field(default=0.6, ge=0.5, lt=1.0, description="Becomes water.")
    dry_below: float = Field(default=0.4, gt=0.0, le=0.5, description="Becomes dry.")
    box_fill: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Share of a box that is water at least; a cut that leaves less is wrong.",
    )
    picture_fill: float = Field(
        default=0.01, ge=0.0, le=1.0, description="Same, of a picture said to show water."
    )


class GuardSection(Section):
    """When a fitted model is worse than the one before."""

    tolerated_iou_loss: float = Field(default=0.005, ge=0.0, le=1.0, description="With masks.")
    tolerated_alarm_rise: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Share of dry pictures."
    )
    least_agreement: float = Field(
        default=0.6,
        ge=0.0,
        le=1.0,
        description="IoU of both models' water on frames held out, when there are no masks.",
    )
    held_out_share: float = Field(
        default=0.2, gt=0.0, lt=1.0, description="Of the frames nothing is said about."
    )


class AdaptRecipe(Section):
    """One adaptation."""

    rank: int = Field(default=4, ge=1, le=64, description="Of the low-rank updates.")
    steps: int = Field(default=150, ge=1)
    batch_size: int = Field(default=6, ge=1)
    train_size_px: int = Field(
        default=384, ge=32, multiple_of=32, description="Input; SAM keeps its own."
    )
    labelled_share: float = Field(
        default=0.5, gt=0.0, lt=1.0, description="Of the samples, when there are both kinds."
    )
    optimiser: OptimiserSection = OptimiserSection(
        kind="adam", learning_rate=1e-3, weight_decay=1e-4, warmup_steps=10
    )
    teacher_decay: float = Field(
        default=0.99,
        ge=0.0,
        lt=1.0,
        description="Of the teacher's averaged weights, per step; 0 shares the student's.",
    )
    losses: AdaptLossesSection = AdaptLossesSection()
    pseudo_labels: PseudoLabelsSection = PseudoLabelsSection()
    guard: GuardSection = GuardSection()
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 leaves it to torch.")
