"""Mask R-CNN with one class: boxes round water first, then a small mask in each box.

He et al., "Mask R-CNN" (2017), the paper's small model M, on ResNet-50 with a feature pyramid;
re-implemented from the papers. With one class the softmax over water and background is a
sigmoid of one logit. Batch norm is trained, for no pretrained statistics are frozen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.boxes import (
    bin_centres,
    move,
    offsets_between,
    paste,
    roi_align,
    suppress,
)
from lsm_monitor.model.convolutions import kaiming_init
from lsm_monitor.model.instances import UNKNOWN, Instances, assign, find_instances, sample
from lsm_monitor.model.native_size import check_size, resize_images, resize_labels
from lsm_monitor.model.region_proposals import RegionProposer, proposal_loss, propose
from lsm_monitor.model.resnet_fpn import PYRAMID_STRIDES_PX, PYRAMID_WIDTH, ResNet50Pyramid
from lsm_monitor.model.small_model import SmallModel

NATIVE_SIZE_PX = 800
DRY_LOGIT = -10.0
_BOX_BINS, _MASK_BINS = 7, 14
_MASK_SIDE = 28
_HIDDEN = 1024
_SAMPLES, _MAX_POSITIVES = 512, 128
_POSITIVE_IOU = 0.5
_BETA = 1 / 9  # where the box loss turns from square to linear
_OFFSET_SCALES = (10.0, 10.0, 5.0, 5.0)  # give the offsets about unit variance
_MIN_SCORE_LOGIT = 0.0  # more likely water than not
_MAX_IOU = 0.5
_MAX_DETECTIONS = 100


class _BoxHead(nn.Module):
    """Scores a region and mends its box."""

    scales: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(PYRAMID_WIDTH * _BOX_BINS**2, _HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(inplace=True),
        )
        self.score = nn.Linear(_HIDDEN, 1)
        self.offsets = nn.Linear(_HIDDEN, 4)
        kaiming_init(self)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.offsets.weight, std=0.001)
        self.register_buffer("scales", torch.tensor(_OFFSET_SCALES), persistent=False)

    def forward(self, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 256, 7, 7) -> (N,) logits of being water, (N, 4) offsets times ``scales``."""
        hidden = self.hidden(regions)
        return self.score(hidden)[:, 0].float(), self.offsets(hidden).float()


class _MaskHead(nn.Sequential):
    """(N, 256, 14, 14) -> (N, 1, 28, 28) water logits inside the regions."""

    def __init__(self) -> None:
        super().__init__()
        for _ in range(4):
            self.append(nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1))
            self.append(nn.ReLU(inplace=True))
        self.append(nn.ConvTranspose2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 2, stride=2))
        self.append(nn.ReLU(inplace=True))
        logits = nn.Conv2d(PYRAMID_WIDTH, 1, 1)
        self.append(logits)
        kaiming_init(self)
        nn.init.normal_(logits.weight, std=0.001)


@dataclass(frozen=True, slots=True)
class _Regions:
    """Regions of one picture that the heads are trained on.

    Attributes:
        positives: (P, 4) boxes that overlap an instance.
        instance: (P,) int64, which one.
        negatives: (N, 4) boxes that do not.
    """

    positives: torch.Tensor
    instance: torch.Tensor
    negatives: torch.Tensor


class MaskRCNN(SmallModel):
    """Mask R-CNN on ResNet-50-FPN, 43.9 million parameters.

    Args:
        size_px: Side to which pictures are resized; a multiple of 32. The default is the
            published shorter side, which the anchors of 32 px to 512 px go with.

    Raises:
        ValueError: ``size_px`` is not a positive multiple of 32.
    """

    def __init__(self, *, size_px: int = NATIVE_SIZE_PX) -> None:
        super().__init__()
        self.size_px = check_size(size_px)
        self.backbone = ResNet50Pyramid()
        self.proposer = RegionProposer()
        self.box_head = _BoxHead()
        self.mask_head = _MaskHead()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the masks of all water found, joined.

        Args:
            images: (B, 3, S, S) float32, normalised RGB.

        Returns:
            (B, 1, ``size_px`` / 4, ``size_px`` / 4) float32, at least -10, which stands
            wherever no instance was found.
        """
        maps = self.backbone(resize_images(images, self.size_px))
        boxes = self._detect(maps, propose(self.proposer(maps), self.size_px))
        counts = [len(of_picture) for of_picture in boxes]
        logits = torch.split(self._masks(maps, boxes), counts)
        joined = [
            paste(
                of_picture,
                where,
                size_px=self.size_px,
                side=self.size_px // PYRAMID_STRIDES_PX[0],
                outside=DRY_LOGIT,
            )
            for of_picture, where in zip(logits, boxes, strict=True)
        ]
        return torch.stack(joined)

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the sum of the proposals', the boxes' and the masks' losses.

        Each connected region of water is an instance. The anchors and regions that count are
        drawn with torch's random numbers.
        """
        maps = self.backbone(resize_images(images, self.size_px))
        instances = [find_instances(one) for one in resize_labels(labels, self.size_px)]
        predictions = self.proposer(maps)
        regions = [
            _sample_regions(proposals, of_picture)
            for proposals, of_picture in zip(
                propose(predictions, self.size_px), instances, strict=True
            )
        ]
        return (
            proposal_loss(predictions, instances)
            + self._box_loss(maps, regions, instances)
            + self._mask_loss(maps, regions, instances)
        )

    @torch.no_grad()
    def _detect(
        self, maps: Sequence[torch.Tensor], proposals: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Return for each picture the (N, 4) boxes of what is water, N <= 100."""
        counts = [len(of_picture) for of_picture in proposals]
        scores, offsets = self.box_head(self._crop(maps, proposals, _BOX_BINS))
        offsets = offsets / self.box_head.scales
        detections = []
        for boxes, score, offset in zip(
            proposals, torch.split(scores, counts), torch.split(offsets, counts), strict=True
        ):
            moved = move(boxes, offset, self.size_px)
            is_likely = score > _MIN_SCORE_LOGIT
            kept = suppress(moved[is_likely], score[is_likely], _MAX_IOU)
            detections.append(moved[is_likely][kept[:_MAX_DETECTIONS]])
        return detections

    def _box_loss(
        self,
        maps: Sequence[torch.Tensor],
        regions: Sequence[_Regions],
        instances: Sequence[Instances],
    ) -> torch.Tensor:
        """Return class loss plus box loss, each the mean over all sampled regions."""
        boxes = [torch.cat((one.positives, one.negatives)) for one in regions]
        scores, offsets = self.box_head(self._crop(maps, boxes, _BOX_BINS))
        is_water = torch.cat(
            [
                torch.arange(len(of_picture), device=scores.device) < len(one.positives)
                for of_picture, one in zip(boxes, regions, strict=True)
            ]
        )
        wanted = torch.cat(
            [
                offsets_between(one.positives, of_picture.boxes[one.instance])
                for one, of_picture in zip(regions, instances, strict=True)
            ]
        )
        class_loss = F.binary_cross_entropy_with_logits(
            scores, is_water.float(), reduction="sum"
        )
        box_loss = F.smooth_l1_loss(
            offsets[is_water], wanted * self.box_head.scales, reduction="sum", beta=_BETA
        )
        return (class_loss + box_loss) / max(1, len(scores))

    def _mask_loss(
        self,
        maps: Sequence[torch.Tensor],
        regions: Sequence[_Regions],
        instances: Sequence[Instances],
    ) -> torch.Tensor:
        """Return the mean cross-entropy over the labelled pixels of the positive regions."""
        logits = self._masks(maps, [one.positives for one in regions])
        ids = torch.cat(
            [
                _read_ids(one.positives, of_picture.ids)
                for one, of_picture in zip(regions, instances, strict=True)
            ]
        )
        wanted = torch.cat([one.instance for one in regions])[:, None, None] + 1
        losses = F.binary_cross_entropy_with_logits(
            logits, (ids == wanted).float(), reduction="none"
        )
        is_known = ids != UNKNOWN
        return (losses * is_known).sum() / is_known.sum().clamp(min=1)

    def _masks(
        self, maps: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return (sum of N_i, 28, 28) float32 water logits inside the boxes."""
        logits: torch.Tensor = self.mask_head(self._crop(maps, boxes, _MASK_BINS))
        return logits[:, 0].float()

    def _crop(
        self, maps: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor], bins: int
    ) -> torch.Tensor:
        # The coarsest map is for anchors only.
        return roi_align(maps[:-1], boxes, size_px=self.size_px, bins=bins)


@torch.no_grad()
def _sample_regions(proposals: torch.Tensor, instances: Instances) -> _Regions:
    """Return what the heads learn from; the true boxes take part, or they would start blind."""
    boxes = torch.cat((proposals, instances.boxes))
    assignment = assign(
        boxes, instances, positive_iou=_POSITIVE_IOU, negative_iou=_POSITIVE_IOU
    )
    positives, negatives = sample(assignment, count=_SAMPLES, max_positives=_MAX_POSITIVES)
    return _Regions(boxes[positives], assignment.instance[positives], boxes[negatives])


def _read_ids(boxes: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """(N, 4), (S, S) -> (N, 28, 28) int64: the ids at the centres of the masks' pixels."""
    x, y = bin_centres(boxes, _MASK_SIDE).long().clamp(0, len(ids) - 1).unbind(dim=3)
    return ids[y, x]
