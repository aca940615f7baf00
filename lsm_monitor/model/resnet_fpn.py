"""ResNet-50 with a feature pyramid: maps of equal width at strides 4 to 64.

He et al., "Deep Residual Learning" (2016), with the stride in the 3x3 convolution; Lin et al.,
"Feature Pyramid Networks" (2017). Re-implemented from the papers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.convolutions import conv_bn, kaiming_init

PYRAMID_WIDTH = 256
PYRAMID_STRIDES_PX = (4, 8, 16, 32, 64)
_EXPANSION = 4
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride


class _Bottleneck(nn.Module):
    """Reduce, filter, restore; the short cut is a convolution where sizes differ."""

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.residual = nn.Sequential(
            conv_bn(inputs, width),
            nn.ReLU(inplace=True),
            conv_bn(width, width, 3, stride=stride),
            nn.ReLU(inplace=True),
            conv_bn(width, outputs),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else conv_bn(inputs, outputs, stride=stride)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.relu(self.residual(features) + self.shortcut(features))


class ResNet50Pyramid(nn.Module):
    """Backbone with five maps of 256 channels, at strides 4, 8, 16, 32 and 64."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn(3, 64, 7, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        self.laterals = nn.ModuleList()
        self.smooths = nn.ModuleList()
        inputs = 64
        for width, count, stride in _STAGES:
            outputs = width * _EXPANSION
            blocks = [_Bottleneck(inputs, width, stride=stride)]
            blocks += [_Bottleneck(outputs, width, stride=1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*blocks))
            self.laterals.append(nn.Conv2d(outputs, PYRAMID_WIDTH, 1))
            self.smooths.append(nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1))
            inputs = outputs
        kaiming_init(self)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the pyramid, finest first.

        Args:
            images: (B, 3, S, S) float32, normalised RGB; S divisible by 32.

        Returns:
            (B, 256, h, h) float32 with h = S/4, S/8, S/16, S/32 and ceil(S/64).
        """
        features = self.stem(images)
        laterals = []
        for stage, lateral in zip(self.stages, self.laterals, strict=True):
            features = stage(features)
            laterals.append(lateral(features))
        merged = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            merged.append(lateral + F.interpolate(merged[-1], lateral.shape[-2:]))
        pyramid = [
            smooth(map_) for smooth, map_ in zip(self.smooths, reversed(merged), strict=True)
        ]
        return [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]
