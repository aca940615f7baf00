"""SINet-V2: finds what hides, first roughly, then by looking where it has not yet looked.

Fan et al., "Concealed Object Detection" (TPAMI 2021), the paper's SiNet [6]; re-implemented
from the paper. The authors' release (https://github.com/GewelsJI/SINet-V2) carries an
Apache-2.0 licence file but asks for non-commercial use in its README: none of its text or
weights is used here. Two things are different on purpose: the pixel weights of the loss act
(a misspelt ``reduction`` cancels them there), and no map is stretched to the full range.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.convolutions import conv_bn, kaiming_init
from lsm_monitor.model.native_size import check_size, resize_images, resize_labels
from lsm_monitor.model.res2net import Res2Net50
from lsm_monitor.model.small_model import IGNORED, WATER, SmallModel

NATIVE_SIZE_PX = 352
_WIDTH = 32
_EDGE_KERNEL_PX = 31
_EDGE_WEIGHT = 5.0


class _TextureEnhancer(nn.Module):
    """The paper's texture enhanced module: four fields of view of one map, at 32 channels.

    As in the paper, nothing but the sum of the branches is rectified.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_bn(inputs, _WIDTH)])
        for side in (3, 5, 7):
            self.branches.append(
                nn.Sequential(
                    conv_bn(inputs, _WIDTH),
                    conv_bn(_WIDTH, _WIDTH, (1, side)),
                    conv_bn(_WIDTH, _WIDTH, (side, 1)),
                    conv_bn(_WIDTH, _WIDTH, 3, dilation=side),
                )
            )
        self.merge = conv_bn(4 * _WIDTH, _WIDTH, 3)
        self.shortcut = conv_bn(inputs, _WIDTH)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        views = torch.cat([branch(features) for branch in self.branches], dim=1)
        return F.relu(self.merge(views) + self.shortcut(features))


class _NeighbourDecoder(nn.Module):
    """The paper's neighbour connection decoder: a coarse map of where something may be."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse_to_middle = conv_bn(_WIDTH, _WIDTH, 3)
        self.gated_to_fine = conv_bn(_WIDTH, _WIDTH, 3)
        self.middle_to_fine = conv_bn(_WIDTH, _WIDTH, 3)
        self.coarse_beside_middle = conv_bn(_WIDTH, _WIDTH, 3)
        self.merge_middle = conv_bn(2 * _WIDTH, 2 * _WIDTH, 3)
        self.middle_beside_fine = conv_bn(2 * _WIDTH, 2 * _WIDTH, 3)
        self.merge_fine = conv_bn(3 * _WIDTH, 3 * _WIDTH, 3)
        self.refine = conv_bn(3 * _WIDTH, 3 * _WIDTH, 3)
        self.logits = nn.Conv2d(3 * _WIDTH, 1, 1)

    def forward(
        self, fine: torch.Tensor, middle: torch.Tensor, coarse: torch.Tensor
    ) -> torch.Tensor:
        """(B, 32, h, w), (B, 32, h/2, w/2), (B, 32, h/4, w/4) -> (B, 1, h, w) logits."""
        gated_middle = self.coarse_to_middle(_resize(coarse, middle)) * middle
        gated_fine = (
            self.gated_to_fine(_resize(gated_middle, fine))
            * self.middle_to_fine(_resize(middle, fine))
            * fine
        )
        beside = self.coarse_beside_middle(_resize(coarse, middle))
        merged_middle = self.merge_middle(torch.cat((gated_middle, beside), dim=1))
        beside = self.middle_beside_fine(_resize(merged_middle, fine))
        merged_fine = self.merge_fine(torch.cat((gated_fine, beside), dim=1))
        logits: torch.Tensor = self.logits(self.refine(merged_fine))
        return logits


class _GroupReversal(nn.Module):
    """The paper's group-reversal attention with the features in ``groups`` groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.mix = nn.Conv2d(_WIDTH + groups, _WIDTH, 3, padding=1)
        self.score = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(
        self, features: torch.Tensor, guide: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        groups = features.chunk(self.groups, dim=1)
        guided = torch.cat([part for group in groups for part in (group, guide)], dim=1)
        features = features + F.relu(self.mix(guided))
        return features, guide + self.score(features)


class _ReverseStage(nn.Module):
    """Three attentions, ever finer guided, by what the coarser map has *not* found."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(_GroupReversal(groups) for groups in (1, 4, _WIDTH))

    def forward(self, features: torch.Tensor, coarser: torch.Tensor) -> torch.Tensor:
        """(B, 32, h, w) features, (B, 1, h', w') logits -> (B, 1, h, w) refined logits."""
        coarser = _resize(coarser, features)
        guide = 1.0 - coarser.sigmoid()
        for attention in self.attentions:
            features, guide = attention(features, guide)
        return guide + coarser


class SINetV2(SmallModel):
    """SINet-V2 on Res2Net-50, 24.93 million parameters.

    The published 26.98 million count Res2Net's ImageNet classifier, which nothing calls.

    Args:
        size_px: Side to which pictures are resized; a multiple of 32.

    Raises:
        ValueError: ``size_px`` is not a positive multiple of 32.
    """

    def __init__(self, *, size_px: int = NATIVE_SIZE_PX) -> None:
        super().__init__()
        self.size_px = check_size(size_px)
        self.backbone = Res2Net50()
        self.enhancers = nn.ModuleList(
            _TextureEnhancer(inputs) for inputs in self.backbone.channels[1:]
        )
        self.decoder = _NeighbourDecoder()
        self.reverse_stages = nn.ModuleList(_ReverseStage() for _ in self.enhancers)
        kaiming_init(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last and finest logits of :meth:`outputs`, the paper's S3."""
        return self.outputs(images)[-1]

    def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return all water logits: the coarse map's, then the stages', coarsest first.

        Args:
            images: (B, 3, S, S) float32, normalised RGB.

        Returns:
            Four of (B, 1, ``size_px``, ``size_px``) float32, unbounded.
        """
        images = resize_images(images, self.size_px)
        features = [
            enhance(map_)
            for enhance, map_ in zip(self.enhancers, self.backbone(images)[1:], strict=True)
        ]
        logits = [self.decoder(*features)]
        for stage, map_ in zip(self.reverse_stages, reversed(features), strict=True):
            logits.append(stage(map_, logits[-1]))
        return tuple(_resize(map_, images) for map_ in logits)

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the four outputs' structure losses."""
        labels = resize_labels(labels, self.size_px)
        losses = [structure_loss(logits, labels) for logits in self.outputs(images)]
        return torch.stack(losses).sum()


def structure_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return weighted cross-entropy plus weighted IoU loss, the mean over the batch.

    A pixel weighs 1 + 5 |share of water around it - is it water|: up to six times as much at
    a shore as in the open. "Around" is the 31 x 31 labelled pixels nearest; the picture's
    border is no shore.

    Args:
        logits: (B, 1, h, w) float32, unbounded.
        labels: (B, h, w) uint8 of ``DRY``, ``WATER`` and ``IGNORED``.

    Returns:
        Scalar float32, at least 0; finite on dry and on unlabelled pictures.
    """
    is_valid = (labels != IGNORED)[:, None].to(logits.dtype)
    is_water = (labels == WATER)[:, None].to(logits.dtype)
    # Water is 0 where nothing is labelled, so the ratio of the means is a mean over labels.
    share = _local_mean(is_water) / _local_mean(is_valid).clamp(min=_EDGE_KERNEL_PX**-2)
    weights = (1.0 + _EDGE_WEIGHT * (share - is_water).abs()) * is_valid

    bce = F.binary_cross_entropy_with_logits(logits, is_water, reduction="none")
    weighted_bce = _sum(weights * bce) / _sum(weights).clamp(min=1.0)

    probabilities = logits.sigmoid()
    overlap = _sum(weights * probabilities * is_water)
    union = _sum(weights * (probabilities + is_water)) - overlap
    weighted_iou_loss = 1.0 - (overlap + 1.0) / (union + 1.0)
    return (weighted_bce + weighted_iou_loss).mean()


def _local_mean(values: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(values, _EDGE_KERNEL_PX, stride=1, padding=_EDGE_KERNEL_PX // 2)


def _sum(values: torch.Tensor) -> torch.Tensor:
    return values.sum(dim=(1, 2, 3))


def _resize(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
