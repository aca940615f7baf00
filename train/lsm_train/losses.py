"""The training loss: per-pixel and per-picture, both meaningful on dry pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_train.data import IGNORED, WATER

_FOCAL_GAMMA = 1.0


def water_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of a batch: focal cross-entropy plus soft IoU.

    The cross-entropy judges each pixel; the soft IoU judges each picture as a whole, so a
    small puddle counts as much as a flooded square. Its ``+ 1`` keeps it defined on a dry
    picture, where it grows with every pixel of false water.

    Args:
        logits: (B, 1, H, W) float32.
        labels: (B, H, W) uint8 of dry, water and ignored.

    Returns:
        Scalar float32, finite also when every pixel is dry or ignored.
    """
    logits = logits[:, 0]
    valid = (labels != IGNORED).float()
    target = (labels == WATER).float()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    error = (probability - target).abs()
    focal = (error**_FOCAL_GAMMA * cross_entropy * valid).sum() / valid.sum().clamp(min=1)
    intersection = (probability * target * valid).sum((1, 2))
    union = ((probability + target - probability * target) * valid).sum((1, 2))
    soft_iou = (intersection + 1.0) / (union + 1.0)
    return 2.0 * focal + (1.0 - soft_iou).mean()
