"""WeSAM's losses (Zhang et al., CVPR 2024), by the paper and not by its published code.

    L = a1 focal(S, T) + a2 dice(S, T) + a3 dice(S, A) + a4 contrast(S, A)

S is the student on the strong view, T and A are the labels that teacher and anchor give the
weak one. What the published code does otherwise, and why not here:

* its focal loss gets the number of masks as alpha, its dice loss as smoothing; here they are
  0.8 and 1, as meant;
* it thresholds masks at 0.5 *logits*; here at a probability of 0.5;
* it trains the teacher through the labels it gives, which rewards labels that are easy to meet;
  here neither teacher nor anchor has gradients, and what the paper asks of the teacher is asked
  of the student, whose weights it has;
* its contrast is between the objects of one picture, and zero with one object, the normal case
  of water; here ground is the second object, as its author suggests;
* its IoU loss trains a quality score of the decoder that nothing here reads; it is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.model.small_model import DRY, IGNORED, WATER

_ALPHA, _GAMMA = 0.8, 2.0
_SMOOTH = 1.0


def focal_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean over valid pixels of  0.8 (1 - p_t)^2 (-log p_t).

    p_t is the probability of what the label says.

    Args:
        logits: (B, H, W) float.
        labels: (B, H, W) uint8 of dry, water and ignored.

    Returns:
        Scalar float32; 0 when every pixel is ignored.
    """
    valid = labels != IGNORED
    target = (labels == WATER).float()
    entropy = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    focal = _ALPHA * (1.0 - torch.exp(-entropy)) ** _GAMMA * entropy
    return (focal * valid).sum() / valid.sum().clamp(min=1)


def dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return  1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1), the mean over the pictures.

    Sums are over a picture's valid pixels; the ones keep dry pictures finite and worth
    learning from.

    Args:
        logits: (B, H, W) float.
        labels: (B, H, W) uint8 of dry, water and ignored.
    """
    valid = (labels != IGNORED).float()
    target = (labels == WATER).float()
    probability = logits.float().sigmoid() * valid
    overlap = (probability * target).sum((1, 2))
    total = probability.sum((1, 2)) + target.sum((1, 2))
    return (1.0 - (2.0 * overlap + _SMOOTH) / (total + _SMOOTH)).mean()


def contrast_loss(
    student: torch.Tensor,
    student_labels: torch.Tensor,
    anchor: torch.Tensor,
    anchor_labels: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Return  -log(sum_i e^(s_ii / tau) / sum_ij e^(s_ij / tau)), the mean over the pictures.

    i and j are water and ground; s_ij is the cosine of the student's mean embedding of i and
    the anchor's of j. Pictures of which either knows only one of the two have nothing to
    contrast and count for nothing.

    Args:
        student: (B, C, h, w) float image embedding.
        student_labels: (B, H, W) uint8 of dry, water and ignored, which pool it.
        anchor: (B, C, h, w) float, the frozen encoder's.
        anchor_labels: (B, H, W) uint8, which pool that one.
        temperature: tau.

    Returns:
        Scalar float32; 0 when no picture has both.
    """
    means, is_there = _object_means(student, student_labels)
    anchor_means, is_there_too = _object_means(anchor, anchor_labels)
    both = (is_there & is_there_too).all(1)
    cosines = F.normalize(means, dim=-1) @ F.normalize(anchor_means, dim=-1).transpose(1, 2)
    logits = cosines / temperature  # (B, 2, 2)
    same = torch.logsumexp(logits.diagonal(dim1=1, dim2=2), dim=1)
    loss = torch.logsumexp(logits.flatten(1), dim=1) - same
    return (loss * both).sum() / both.sum().clamp(min=1)


def _object_means(
    embedding: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, C, h, w) -> (B, 2, C) means over water and ground, (B, 2) bool which there are."""
    unit = F.normalize(embedding.float(), dim=1).flatten(2)
    masks = torch.stack([labels == WATER, labels == DRY], dim=1).float()
    height, width = embedding.shape[-2:]
    shares = F.adaptive_avg_pool2d(masks, (height, width)).flatten(2)
    weight = shares.sum(-1)
    means = shares @ unit.transpose(1, 2) / weight.clamp(min=1e-6)[..., None]
    return means, weight > 0.0
