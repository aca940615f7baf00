"""``lite``: a light feature pyramid that turns the encoder's maps into water logits.

Water is told from wet asphalt by fine texture and by what surrounds it, so every scale takes
part: coarse maps say where a road may be flooded, fine ones where its edge lies. All
convolutions above 1x1 are depthwise, which keeps the finest map affordable on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

_WIDTH = 64


class SmallLite(nn.Module):
    """Feature pyramid with one output channel.

    Args:
        channels: Channels of the encoder's maps, finest first; each map is half as large as
            the one before.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_pointwise(count, _WIDTH) for count in channels)
        self.context = _separable(_WIDTH, kernel_px=5)
        self.merges = nn.ModuleList(_separable(_WIDTH, kernel_px=3) for _ in channels[1:])
        self.logits = nn.Conv2d(_WIDTH, 1, 1)

    def forward(self, embeddings: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return low-res logits.

        Args:
            embeddings: (B, C, h, w) float32 each, finest first.

        Returns:
            (B, 1, h, w) float32, unbounded, at the size of the finest map.
        """
        maps = [
            lateral(embedding)
            for lateral, embedding in zip(self.laterals, embeddings, strict=True)
        ]
        merged = maps[-1] + self.context(maps[-1])
        for finer, merge in zip(reversed(maps[:-1]), self.merges, strict=True):
            coarser = F.interpolate(
                merged, finer.shape[-2:], mode="bilinear", align_corners=False
            )
            merged = finer + coarser
            merged = merged + merge(merged)
        logits: torch.Tensor = self.logits(merged)
        return logits


def _pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def _separable(width: int, *, kernel_px: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, kernel_px, padding=kernel_px // 2, groups=width, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
        *_pointwise(width, width),
        nn.ReLU6(inplace=True),
    )
