"""Res2Net-50 v1b, 26w x 4s: a ResNet whose blocks look at four scales at once.

Gao et al., "Res2Net: A New Multi-scale Backbone Architecture" (TPAMI 2021); re-implemented
from the paper. "v1b" is the variant with a stem of three small convolutions and with average
pooling, not strided sampling, on the short cuts. The classifier is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.convolutions import conv_bn, kaiming_init

_SCALES = 4
_WIDTH_OF_64 = 26  # channels of each scale where a ResNet's block has 64
_EXPANSION = 4
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride


class _Block(nn.Module):
    """Res2Net's bottleneck: each quarter of the channels also sees the result of the last.

    The first block of a stage changes the size and therefore does not chain its quarters.
    """

    def __init__(self, inputs: int, width: int, *, stride: int, is_first: bool) -> None:
        super().__init__()
        scale_width = width * _WIDTH_OF_64 // 64
        outputs = width * _EXPANSION
        self.is_first = is_first
        self.reduce = conv_bn(inputs, scale_width * _SCALES)
        self.scales = nn.ModuleList(
            conv_bn(scale_width, scale_width, 3, stride=stride) for _ in range(_SCALES - 1)
        )
        self.pool = nn.AvgPool2d(3, stride, padding=1) if is_first else nn.Identity()
        self.restore = conv_bn(scale_width * _SCALES, outputs)
        self.shortcut = (
            nn.Sequential(nn.AvgPool2d(stride), conv_bn(inputs, outputs))
            if is_first
            else nn.Identity()
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        *quarters, last = F.relu(self.reduce(features)).chunk(_SCALES, dim=1)
        results: list[torch.Tensor] = []
        for quarter, scale in zip(quarters, self.scales, strict=True):
            chained = quarter if self.is_first or not results else quarter + results[-1]
            results.append(F.relu(scale(chained)))
        restored = self.restore(torch.cat((*results, self.pool(last)), dim=1))
        return F.relu(restored + self.shortcut(features))


class Res2Net50(nn.Module):
    """Backbone with four maps, at strides 4, 8, 16 and 32.

    Attributes:
        channels: Channels of each map, finest first.
    """

    channels: tuple[int, ...] = tuple(width * _EXPANSION for width, _, _ in _STAGES)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *conv_bn(3, 32, 3, stride=2),
            nn.ReLU(inplace=True),
            *conv_bn(32, 32, 3),
            nn.ReLU(inplace=True),
            *conv_bn(32, 64, 3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        inputs = 64
        for width, count, stride in _STAGES:
            blocks = [_Block(inputs, width, stride=stride, is_first=True)]
            inputs = width * _EXPANSION
            blocks += [
                _Block(inputs, width, stride=1, is_first=False) for _ in range(count - 1)
            ]
            self.stages.append(nn.Sequential(*blocks))
        kaiming_init(self)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the maps, finest first.

        Args:
            images: (B, 3, S, S) float32, normalised RGB; S divisible by 32.

        Returns:
            (B, 256, S/4, S/4), (B, 512, S/8, S/8), (B, 1024, S/16, S/16) and
            (B, 2048, S/32, S/32) float32, at least 0.
        """
        features = self.stem(images)
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return tuple(maps)
