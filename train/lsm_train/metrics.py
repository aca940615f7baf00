"""Segmentation metrics, with the empty cases spelled out."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class PixelCounts:
    """Pixels by what they are and what was predicted; addition joins pictures."""

    true_water: int = 0
    false_water: int = 0
    missed_water: int = 0

    @classmethod
    def of(cls, predicted: torch.Tensor, target: torch.Tensor) -> PixelCounts:
        """Count two bool tensors of one shape."""
        return cls(
            true_water=int((predicted & target).sum()),
            false_water=int((predicted & ~target).sum()),
            missed_water=int((~predicted & target).sum()),
        )

    def __add__(self, other: PixelCounts) -> PixelCounts:
        return PixelCounts(
            self.true_water + other.true_water,
            self.false_water + other.false_water,
            self.missed_water + other.missed_water,
        )

    @property
    def precision(self) -> float | None:
        """Share of predicted water that is water; ``None`` when none was predicted."""
        return _ratio(self.true_water, self.true_water + self.false_water)

    @property
    def recall(self) -> float | None:
        """Share of water that was found; ``None`` when there is none."""
        return _ratio(self.true_water, self.true_water + self.missed_water)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; ``None`` without any water, true or predicted."""
        errors = self.false_water + self.missed_water
        return _ratio(2 * self.true_water, 2 * self.true_water + errors)

    @property
    def iou(self) -> float | None:
        """Intersection over union; ``None`` without any water, true or predicted."""
        return _ratio(self.true_water, self.true_water + self.false_water + self.missed_water)


def iou(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the intersection over union of each image.

    A street without water that is predicted dry is a success, so two empty masks score 1.
    Report it next to the score over wet images only: on a mostly dry data set the mean is
    otherwise flattered by the empty images.

    Args:
        predicted: (B, H, W) bool.
        target: (B, H, W) bool.

    Returns:
        (B,) float32 in [0, 1].
    """
    intersection = (predicted & target).flatten(1).sum(1)
    union = (predicted | target).flatten(1).sum(1)
    return torch.where(union == 0, 1.0, intersection / union.clamp(min=1))


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
