"""Disturbs the small model's mask before it prompts, while the decoder learns.

On the pictures that it was trained on, the small model is better than on any others. A decoder
that has only seen those masks believes them blindly, and repeats on a new street what the small
model gets wrong there.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_train.config import PromptNoiseSection

_LIMIT = 10.0  # what the prompt is limited to anyway
_CELLS = 8  # blobs of an eighth of the picture: errors of a small model come in pieces


def disturb(
    logits: torch.Tensor,
    settings: PromptNoiseSection,
    *,
    kind: Literal["mask", "box", "points"] = "mask",
) -> torch.Tensor:
    """Return (B, 1, h, w) float32 logits with another confidence, bias and blobs of error.

    Every picture draws for itself, from torch's generator.

    Args:
        logits: (B, 1, h, w) float32, the small model's.
        settings: How much.
        kind: Of the prompt that is made of them. A mask says nothing with logits of 0; a box
            and points would take these, at the usual threshold, for water everywhere.
    """
    size = (len(logits), 1, 1, 1)
    one = torch.ones(size, device=logits.device)
    confidence = torch.exp((2 * torch.rand_like(one) - 1) * settings.confidence)
    blobs = torch.randn(len(logits), 1, _CELLS, _CELLS, device=logits.device)
    blobs = F.interpolate(blobs, logits.shape[-2:], mode="bicubic")
    error = settings.error * (blobs + torch.randn_like(one))
    kept = torch.rand_like(one) >= settings.dropped_share
    nothing = torch.zeros_like(one) if kind == "mask" else torch.full_like(one, -_LIMIT)
    return torch.where(kept, logits.clamp(-_LIMIT, _LIMIT) * confidence + error, nothing)
