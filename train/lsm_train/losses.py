"""The large model's loss (Eq. 7, 9, 10), meaningful on dry pictures too."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.model.small_model import IGNORED, WATER
from lsm_train.config import LossesSection

_FOCAL_ALPHA = 0.25
_FOCAL_GAMMA = 2.0


def large_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: LossesSection
) -> torch.Tensor:
    """Return focal + cross-entropy + IoU loss of a batch.

    Focal loss with alpha 0.25 and gamma 2 and cross-entropy are means over valid pixels. The
    IoU loss is 1 - (I + 1) / (U + 1) per picture, with soft intersection and union: without
    the ``+ 1`` it would be constant, and teach nothing, on every dry picture.

    Args:
        logits: (B, 1, h, w) float, resized to the labels.
        labels: (B, H, W) uint8 of dry, water and ignored.
        weights: Of the three terms.

    Returns:
        Scalar float32, finite also when every pixel is dry or ignored.
    """
    resized = F.interpolate(
        logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False
    )[:, 0]
    valid = (labels != IGNORED).float()
    target = (labels == WATER).float()
    pixels = valid.sum().clamp(min=1)
    cross_entropy = F.binary_cross_entropy_with_logits(resized, target, reduction="none")
    probability = resized.sigmoid()
    error = (probability - target).abs()
    balance = _FOCAL_ALPHA * target + (1 - _FOCAL_ALPHA) * (1 - target)
    focal = (balance * error**_FOCAL_GAMMA * cross_entropy * valid).sum() / pixels
    intersection = (probability * target * valid).sum((1, 2))
    union = ((probability + target - probability * target) * valid).sum((1, 2))
    iou = 1.0 - ((intersection + 1.0) / (union + 1.0)).mean()
    mean_cross_entropy = (cross_entropy * valid).sum() / pixels
    return (
        weights.focal * focal + weights.cross_entropy * mean_cross_entropy + weights.iou * iou
    )
