"""The class-wise decoder's loss, for labels that leave several classes possible.

A pixel's probability is that of the set of classes that its label leaves possible: the sum of
theirs. So a water mask teaches water against all the rest and leaves the rest to other
pictures; a pixel that is ignored has probability one, and teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_train.config import LossesSection, Recipe
from lsm_train.surfaces import possible_classes

_FOCAL_GAMMA = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class ClassTeaching:
    """What a class-wise decoder is taught with.

    Attributes:
        possible: (256, C) bool, which classes each label leaves possible.
        weights: (256,) float32, how much a pixel of each label counts: the mean weight of the
            classes that it leaves possible, 0 where it leaves all.
    """

    possible: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(cls, recipe: Recipe) -> ClassTeaching | None:
        """Return a recipe's; ``None`` when its model knows water alone."""
        if recipe.model.decoder is None:
            return None
        possible = possible_classes(recipe.model.classes)
        given = recipe.classes.weights
        weights = torch.tensor([given.get(name, 1.0) for name in recipe.model.classes])
        mean = (possible * weights).sum(1) / possible.sum(1)
        return cls(possible, mean.masked_fill(possible.all(1), 0.0))


def class_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    teaching: ClassTeaching,
    weights: LossesSection,
) -> torch.Tensor:
    """Return focal + cross-entropy + IoU loss of a batch.

    With q the probability of a pixel's set, cross-entropy is -log q and the focal loss
    (1 - q)^2 times that, both weighted means over the pixels that say something. The IoU loss
    is 1 - (I + 1) / (U + 1) for each picture and class, over the pixels that are surely of the
    class or surely not: a missed pixel counts, whatever it was taken for.

    Args:
        logits: (B, C, h, w) float, resized to the labels.
        labels: (B, H, W) uint8 of :mod:`lsm_train.surfaces`.
        teaching: Classes and their weights.
        weights: Of the three terms.

    Returns:
        Scalar float32, finite also when every pixel is ignored, and then 0.
    """
    resized = F.interpolate(
        logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False
    )
    index = labels.long()
    possible = teaching.possible.to(labels.device)[index].permute(0, 3, 1, 2)
    counts = teaching.weights.to(labels.device)[index]  # (B, H, W)
    log_probability = resized.log_softmax(1)
    log_q = log_probability.masked_fill(~possible, -torch.inf).logsumexp(1)
    log_q = log_q.clamp(max=0.0)  # a sum of all that are possible may round to above 1
    total = counts.sum().clamp(min=1e-6)
    cross_entropy = -(counts * log_q).sum() / total
    focal = -(counts * (1.0 - log_q.exp()) ** _FOCAL_GAMMA * log_q).sum() / total
    iou = _iou_loss(log_probability.exp(), possible)
    return weights.focal * focal + weights.cross_entropy * cross_entropy + weights.iou * iou


def _iou_loss(probability: torch.Tensor, possible: torch.Tensor) -> torch.Tensor:
    """Return the mean over pictures and classes."""
    is_sure = possible.sum(1, keepdim=True) == 1
    target = (possible & is_sure).float()
    valid = (~possible | is_sure).float()
    intersection = (probability * target).sum((2, 3))
    union = ((probability + target - probability * target) * valid).sum((2, 3))
    return (1.0 - (intersection + 1.0) / (union + 1.0)).mean()
