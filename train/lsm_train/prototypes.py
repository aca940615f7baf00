"""Learning the prototypes of the semantic prompter (ProtoSeg: Zhou et al., CVPR 2022).

Two losses pull the projected pixels towards their prototypes; the prototypes themselves are
moved, not trained, towards the centres of clusters found online by Sinkhorn's algorithm.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_monitor.model.semantic_prompt import SemanticPrompt, SemanticPrompter
from lsm_monitor.model.small_model import IGNORED
from lsm_train.config import LossesSection
from lsm_train.distributed import sum_over_processes

_TEMPERATURE = 0.1  # without one, the contrast cannot fall below 1.27 for 2 x 10 prototypes
_EPSILON = 0.05
_ITERATIONS = 3
_MOMENTUM = 0.999


def prototype_loss(
    semantic: SemanticPrompt, labels: torch.Tensor, weights: LossesSection
) -> torch.Tensor:
    """Return L_proto: pixel-prototype contrast plus pixel-prototype distance.

    Args:
        semantic: Of the batch.
        labels: (B, H, W) uint8, brought to the embedding's size by nearest neighbour.
        weights: Of the two terms.

    Returns:
        Scalar float32; zero when every pixel is ignored.
    """
    similarity, classes = _valid_pixels(semantic, labels)
    if not len(classes):
        return semantic.similarity.sum() * 0.0
    assigned = assign(similarity.detach(), classes)
    kinds = similarity.shape[2]
    logits = similarity.flatten(1) / _TEMPERATURE
    contrast = F.cross_entropy(logits, classes * kinds + assigned)
    own = similarity[torch.arange(len(classes)), classes, assigned]
    distance = (1.0 - own).square().mean()
    return weights.prototype_contrast * contrast + weights.prototype_distance * distance


@torch.no_grad()
def update_prototypes(
    prompter: SemanticPrompter, semantic: SemanticPrompt, labels: torch.Tensor
) -> None:
    """Move the prototypes towards the centres of their clusters: momentum 0.999, unit length.

    All pixels of a class are clustered, as for the loss; of them only those whose nearest
    prototype has the right class move theirs. All processes of a distributed run end with the
    same prototypes.
    """
    similarity, classes = _valid_pixels(semantic, labels)
    pixels = semantic.projected.permute(0, 2, 3, 1)[_small(labels, semantic) != IGNORED]
    prototypes = prompter.prototypes
    flat = classes * prototypes.shape[1] + assign(similarity, classes)
    is_right = similarity.amax(2).argmax(1) == classes
    flat, pixels = flat[is_right], pixels[is_right]
    total = prototypes.new_zeros(prototypes.shape).flatten(0, 1)
    total.index_add_(0, flat, pixels)
    count = torch.bincount(flat, minlength=len(total)).to(total)
    sum_over_processes(total)
    sum_over_processes(count)
    centres = F.normalize(total, dim=-1).view_as(prototypes)
    found = (count > 0).view(*prototypes.shape[:2], 1)
    moved = F.normalize(_MOMENTUM * prototypes + (1.0 - _MOMENTUM) * centres, dim=-1)
    prototypes.copy_(torch.where(found, moved, prototypes))


@torch.no_grad()
def assign(similarity: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Return the prototype that each pixel is assigned to, among those of its class.

    Args:
        similarity: (N, C, K) float32 in [-1, 1].
        classes: (N,) int64, each pixel's class.

    Returns:
        (N,) int64 in [0, K).
    """
    assigned = torch.zeros_like(classes)
    for label in range(similarity.shape[1]):
        members = classes == label
        if members.any():
            assigned[members] = sinkhorn(similarity[members, label]).argmax(1)
    return assigned


def sinkhorn(similarity: torch.Tensor) -> torch.Tensor:
    """Return a soft assignment of N pixels to K prototypes that uses all prototypes alike.

    Args:
        similarity: (N, K) float32 in [-1, 1], N >= 1.

    Returns:
        (N, K) float32, rows sum to 1.
    """
    plan = torch.exp(similarity / _EPSILON)
    for _ in range(_ITERATIONS):
        plan = plan / plan.sum(0, keepdim=True).clamp(min=1e-12)
        plan = plan / plan.sum(1, keepdim=True)
    return plan


def _small(labels: torch.Tensor, semantic: SemanticPrompt) -> torch.Tensor:
    """(B, H, W) labels -> (B, h, w) at the embedding's size."""
    size_hw = semantic.similarity.shape[-2:]
    return F.interpolate(labels[:, None].float(), size_hw, mode="nearest-exact")[:, 0].long()


def _valid_pixels(
    semantic: SemanticPrompt, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (N, C, K) similarities and (N,) classes of the pixels that are not ignored."""
    small = _small(labels, semantic)
    valid = small != IGNORED
    return semantic.similarity.permute(0, 3, 4, 1, 2)[valid], small[valid]
