"""The neck of a pyramid encoder: its coarse maps as one SAM-like image embedding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn


class PyramidNeck(nn.Module):
    """Brings strides 16 and 32 to one (B, D, S/16, S/16) embedding Z.

    SAM's own encoder ends with such a neck, trained with it; a CNN's has to be trained here,
    in stage one.

    Args:
        channels: Channels of the maps at strides 16 and 32.
        outputs: D.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, outputs, 1) for count in channels)
        self.norm = nn.GroupNorm(1, outputs)
        self.depthwise = nn.Conv2d(outputs, outputs, 5, padding=2, groups=outputs)
        self.pointwise = nn.Conv2d(outputs, outputs, 1)
        self.out_norm = nn.GroupNorm(1, outputs)

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Two maps, finest first -> (B, D, h, w) float32 at the size of the finer."""
        fine, coarse = (
            lateral(map_) for lateral, map_ in zip(self.laterals, maps, strict=True)
        )
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        merged = F.gelu(self.norm(fine + coarse))
        embedding: torch.Tensor = self.out_norm(merged + self.pointwise(self.depthwise(merged)))
        return embedding
