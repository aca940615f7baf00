"""``lite``: EfficientNet-Lite0 with a light feature pyramid, small enough for a CPU.

Water is told from wet asphalt by fine texture and by what surrounds it, so every scale takes
part: coarse maps say where a road may be flooded, fine ones where its edge lies. All
convolutions above 1x1 are depthwise, which keeps the finest map affordable on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.small_model import IGNORED, WATER, SmallModel

_WIDTH = 64
_FROZEN_STAGES = 3  # edges and textures, which a few hundred pictures could only spoil


class SmallLite(SmallModel):
    """The encoder's later stages are fine-tuned; the stem and the first stages stay frozen."""

    trains_in_bf16 = True

    def __init__(self) -> None:
        super().__init__()
        self.features = EfficientNetLite0()
        self.pyramid = FeaturePyramid(self.features.channels)

    def pretrained_parameters(self) -> Sequence[nn.Parameter]:
        """Return the later stages of the encoder."""
        return list(self.features.stages[_FROZEN_STAGES:].parameters())

    def frozen_parameters(self) -> Sequence[nn.Parameter]:
        """Return the encoder's stem and first stages."""
        early = [self.features.stem, *self.features.stages[:_FROZEN_STAGES]]
        return [parameter for module in early for parameter in module.parameters()]

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - nn.Module's signature
        """Switch the pyramid; the features keep the statistics of ImageNet's many pictures."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) float32, normalised -> (B, 1, S/4, S/4) float32 water logits."""
        logits: torch.Tensor = self.pyramid(self.features(images))
        return logits

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return twice the focal cross-entropy (gamma 1) plus 1 - soft IoU.

        The cross-entropy judges each pixel; the soft IoU judges each picture as a whole, so a
        small puddle counts as much as a flooded square. Its ``+ 1`` keeps it defined on a dry
        picture, where it grows with every pixel of false water.
        """
        logits = F.interpolate(
            self(images).float(), labels.shape[-2:], mode="bilinear", align_corners=False
        )[:, 0]
        valid = (labels != IGNORED).float()
        target = (labels == WATER).float()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        probability = logits.sigmoid()
        error = (probability - target).abs()
        focal = (error * cross_entropy * valid).sum() / valid.sum().clamp(min=1)
        intersection = (probability * target * valid).sum((1, 2))
        union = ((probability + target - probability * target) * valid).sum((1, 2))
        return 2.0 * focal + (1.0 - (intersection + 1.0) / (union + 1.0)).mean()


class FeaturePyramid(nn.Module):
    """Joins an encoder's maps from coarse to fine; one output channel.

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
