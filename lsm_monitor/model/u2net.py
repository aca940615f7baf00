"""U2-Net: a U of Us, each of which sees the whole of its map and keeps its fine detail.

Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection"
(Pattern Recognition 106, 2020); re-implemented from the paper, layer for layer as the authors'
release (https://github.com/xuebinqin/U-2-Net, Apache-2.0). Outputs are logits: a sigmoid in
the network costs precision in the loss. No map is stretched to the full range afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.convolutions import kaiming_init
from lsm_monitor.model.native_size import check_size, resize_images, resize_labels
from lsm_monitor.model.small_model import IGNORED, WATER, SmallModel

NATIVE_SIZE_PX = 320


@dataclass(frozen=True, slots=True)
class _Stage:
    """One U: RSU-``height`` of the paper; RSU-4F, which dilates instead of pooling."""

    height: int
    hidden: int
    outputs: int
    is_dilated: bool = False


class _ResidualU(nn.Module):
    """The paper's RSU block: a U-Net whose result is added to its first convolution's."""

    def __init__(self, inputs: int, stage: _Stage) -> None:
        super().__init__()
        hidden, outputs = stage.hidden, stage.outputs
        levels = range(stage.height - 1)
        dilations = [2**level if stage.is_dilated else 1 for level in levels]
        self.is_pooling = not stage.is_dilated
        self.entry = _conv_bn_relu(inputs, outputs)
        self.downs = nn.ModuleList(
            _conv_bn_relu(hidden if level else outputs, hidden, dilation=dilation)
            for level, dilation in zip(levels, dilations, strict=True)
        )
        self.bottom = _conv_bn_relu(hidden, hidden, dilation=2 * dilations[-1])
        self.ups = nn.ModuleList(
            _conv_bn_relu(2 * hidden, hidden if level else outputs, dilation=dilation)
            for level, dilation in zip(reversed(levels), reversed(dilations), strict=True)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        entry: torch.Tensor = self.entry(features)
        hidden: torch.Tensor = entry
        skips: list[torch.Tensor] = []
        for down in self.downs:
            if skips and self.is_pooling:
                hidden = _halve(hidden)
            hidden = down(hidden)
            skips.append(hidden)
        hidden = self.bottom(hidden)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            hidden = up(torch.cat((_enlarge(hidden, skip), skip), dim=1))
        return entry + hidden


class U2Net(SmallModel):
    """U2-Net, 44.0 million parameters (176 MB).

    Args:
        size_px: Side to which pictures are resized; a multiple of 32.

    Raises:
        ValueError: ``size_px`` is not a positive multiple of 32.
    """

    _down_stages: ClassVar[tuple[_Stage, ...]] = (
        _Stage(7, hidden=32, outputs=64),
        _Stage(6, hidden=32, outputs=128),
        _Stage(5, hidden=64, outputs=256),
        _Stage(4, hidden=128, outputs=512),
        _Stage(4, hidden=256, outputs=512, is_dilated=True),
        _Stage(4, hidden=256, outputs=512, is_dilated=True),
    )
    _up_stages: ClassVar[tuple[_Stage, ...]] = (
        _Stage(4, hidden=256, outputs=512, is_dilated=True),
        _Stage(4, hidden=128, outputs=256),
        _Stage(5, hidden=64, outputs=128),
        _Stage(6, hidden=32, outputs=64),
        _Stage(7, hidden=16, outputs=64),
    )

    def __init__(self, *, size_px: int = NATIVE_SIZE_PX) -> None:
        super().__init__()
        self.size_px = check_size(size_px)
        self.downs = nn.ModuleList()
        inputs = 3
        for stage in self._down_stages:
            self.downs.append(_ResidualU(inputs, stage))
            inputs = stage.outputs
        self.ups = nn.ModuleList()
        skips = [stage.outputs for stage in self._down_stages[-2::-1]]
        for stage, skip in zip(self._up_stages, skips, strict=True):
            self.ups.append(_ResidualU(inputs + skip, stage))
            inputs = stage.outputs
        side_stages = (*reversed(self._up_stages), self._down_stages[-1])
        self.sides = nn.ModuleList(
            nn.Conv2d(stage.outputs, 1, 3, padding=1) for stage in side_stages
        )
        self.fuse = nn.Conv2d(len(side_stages), 1, 1)
        kaiming_init(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the fused logits, d0 of :meth:`outputs`."""
        return self.outputs(images)[0]

    def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return all water logits: the fused ones, then the sides', finest first.

        Args:
            images: (B, 3, S, S) float32, normalised RGB.

        Returns:
            Seven of (B, 1, ``size_px``, ``size_px``) float32, unbounded.
        """
        features = resize_images(images, self.size_px)
        skips: list[torch.Tensor] = []
        for down in self.downs:
            features = down(_halve(features) if skips else features)
            skips.append(features)
        decoded = [skips.pop()]
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            decoded.append(up(torch.cat((_enlarge(decoded[-1], skip), skip), dim=1)))
        sides: list[torch.Tensor] = []
        for side, features in zip(self.sides, reversed(decoded), strict=True):
            logits = side(features)
            sides.append(_enlarge(logits, sides[0]) if sides else logits)
        return self.fuse(torch.cat(sides, dim=1)), *sides

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the seven outputs' mean cross-entropies over labelled pixels."""
        labels = resize_labels(labels, self.size_px)
        losses = [_cross_entropy(logits, labels) for logits in self.outputs(images)]
        return torch.stack(losses).sum()


class U2NetP(U2Net):
    """U2-Net of constant width, 1.13 million parameters (4.7 MB)."""

    _down_stages = (
        *(_Stage(height, hidden=16, outputs=64) for height in (7, 6, 5, 4)),
        _Stage(4, hidden=16, outputs=64, is_dilated=True),
        _Stage(4, hidden=16, outputs=64, is_dilated=True),
    )
    _up_stages = _down_stages[-2::-1]


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """(B, 1, h, w) logits, (B, h, w) labels -> scalar; 0 where no pixel is labelled."""
    is_valid = labels != IGNORED
    is_water = (labels == WATER).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits[:, 0], is_water, reduction="none")
    return (losses * is_valid).sum() / is_valid.sum().clamp(min=1)


def _conv_bn_relu(inputs: int, outputs: int, *, dilation: int = 1) -> nn.Sequential:
    """The release keeps a bias before batch norm; so the published size is met exactly."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _halve(features: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(features, 2, ceil_mode=True)


def _enlarge(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
