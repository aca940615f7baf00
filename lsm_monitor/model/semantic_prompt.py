"""Semantic prompter: what the large model's features say about water (Sec. 3.3, Eq. 1-3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

CLASSES = 2  # dry ground and water: with water alone Eq. 1 would call every pixel water


class SemanticPrompt(NamedTuple):
    """What the prompter found.

    Attributes:
        tokens: (B, C, D) float32, e_Sem: one token for each class; (B, 1, D) of water alone.
        projected: (B, D, h, w) float32, the projected embedding, unit length per pixel.
        similarity: (B, C, K, h, w) float32 in [-1, 1], cosine with each prototype.
    """

    tokens: torch.Tensor
    projected: torch.Tensor
    similarity: torch.Tensor


class SemanticPrompter(nn.Module):
    """Assigns each pixel to its nearest prototype and averages the image embedding per class.

    The prototypes are not trained by gradient: the trainer moves them towards the centres of
    online clusters. The projector is trained by the prototype loss alone, because the argmax
    of Eq. 1 lets no gradient through.

    Args:
        channels: D, channels of the image embedding.
        prototypes_per_class: K.
        foreground_only: Give the decoder the token of water alone.
    """

    prototypes: torch.Tensor

    def __init__(
        self, channels: int, prototypes_per_class: int, *, foreground_only: bool
    ) -> None:
        super().__init__()
        self.projector = nn.Conv2d(channels, channels, 1)
        self._foreground_only = foreground_only
        prototypes = torch.empty(CLASSES, prototypes_per_class, channels)
        nn.init.trunc_normal_(prototypes, std=0.02)
        self.register_buffer("prototypes", F.normalize(prototypes, dim=-1))

    def extra_repr(self) -> str:
        """Return what the weights do not tell."""
        return f"foreground_only={self._foreground_only}"

    def forward(self, embedding: torch.Tensor) -> SemanticPrompt:
        """(B, D, h, w) image embedding Z -> the prompt; a class without pixels gives zeros."""
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.float()
            projected = F.normalize(self.projector(embedding), dim=1)
            # The average of unit vectors, which a trainer's averaged weights hold, is shorter.
            prototypes = F.normalize(self.prototypes, dim=-1)
            similarity = torch.einsum("bdhw,ckd->bckhw", projected, prototypes)
            best = similarity.detach().amax(dim=2).argmax(dim=1)  # Eq. 1: (B, h, w)
            mask = F.one_hot(best, CLASSES).permute(0, 3, 1, 2).float()
            total = torch.einsum("bdhw,bchw->bcd", embedding, mask)  # Eq. 3
            tokens = total / mask.sum((2, 3)).clamp(min=1.0)[..., None]
        if self._foreground_only:
            tokens = tokens[:, 1:]
        return SemanticPrompt(tokens, projected, similarity)
