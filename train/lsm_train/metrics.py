"""Segmentation metrics, with the empty cases spelled out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

_BINS = 200


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


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionRecall:
    """Pixels by probability, from which both follow at every threshold; addition joins.

    Attributes:
        water: (200,) int64, water pixels by probability, bins of 0.005 from 0 to 1.
        dry: The same of dry pixels.
    """

    water: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    dry: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    @classmethod
    def of(cls, probability: torch.Tensor, target: torch.Tensor) -> PrecisionRecall:
        """Count a float32 tensor in [0, 1] and a bool tensor of one shape."""
        bins = (probability * _BINS).long().clamp(max=_BINS - 1)
        water = torch.bincount(bins[target], minlength=_BINS)
        dry = torch.bincount(bins[~target], minlength=_BINS)
        return cls(water.numpy(), dry.numpy())

    def __add__(self, other: PrecisionRecall) -> PrecisionRecall:
        return PrecisionRecall(self.water + other.water, self.dry + other.dry)

    @property
    def thresholds(self) -> npt.NDArray[np.float64]:
        """(200,) lower edge of each bin, ascending."""
        return np.arange(_BINS) / _BINS

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """(200,) precision from each threshold on; 1 where nothing is predicted."""
        found = np.cumsum(self.water[::-1])[::-1]
        false = np.cumsum(self.dry[::-1])[::-1]
        return np.where(found + false == 0, 1.0, found / np.maximum(found + false, 1))

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """(200,) recall from each threshold on; 0 without any water."""
        found = np.cumsum(self.water[::-1])[::-1]
        return found / max(int(self.water.sum()), 1)

    @property
    def average_precision(self) -> float | None:
        """Area under the curve, precision over recall; ``None`` without water."""
        if not self.water.any():
            return None
        steps = -np.diff(self.recall, append=0.0)
        return float((steps * self.precision).sum())


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
