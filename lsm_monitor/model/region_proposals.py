"""Region proposal network: where in the picture something may be.

Ren et al., "Faster R-CNN" (2015), on a feature pyramid (Lin et al., 2017); re-implemented
from the papers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.boxes import move, offsets_between, suppress
from lsm_monitor.model.instances import Instances, assign, sample
from lsm_monitor.model.resnet_fpn import PYRAMID_STRIDES_PX, PYRAMID_WIDTH

_ANCHOR_STRIDES = 8  # an anchor's side in strides of its map: 32 px to 512 px
_HEIGHT_TO_WIDTH = (0.5, 1.0, 2.0)
_KEPT = 1000  # of each map before suppression, and of each picture after it
_MAX_IOU = 0.7
_POSITIVE_IOU, _NEGATIVE_IOU = 0.7, 0.3
_SAMPLES = 256
_BETA = 1 / 9  # where the box loss turns from square to linear


@dataclass(frozen=True, slots=True)
class AnchorPredictions:
    """What the network says of each of A anchors, maps one after the other.

    Attributes:
        anchors: (A, 4) float32 pixels.
        counts: Anchors of each map; their sum is A.
        objectness: (B, A) float32 logits.
        offsets: (B, A, 4) float32, from the anchors to the boxes.
    """

    anchors: torch.Tensor
    counts: tuple[int, ...]
    objectness: torch.Tensor
    offsets: torch.Tensor


class RegionProposer(nn.Module):
    """Region proposal network with three anchors at each cell of each map."""

    def __init__(self) -> None:
        super().__init__()
        shapes = len(_HEIGHT_TO_WIDTH)
        self.shared = nn.Conv2d(PYRAMID_WIDTH, PYRAMID_WIDTH, 3, padding=1)
        self.objectness = nn.Conv2d(PYRAMID_WIDTH, shapes, 1)
        self.offsets = nn.Conv2d(PYRAMID_WIDTH, 4 * shapes, 1)
        for layer in (self.shared, self.objectness, self.offsets):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # these have one

    def forward(self, maps: Sequence[torch.Tensor]) -> AnchorPredictions:
        """Return the predictions of all anchors.

        Args:
            maps: (B, 256, h, h) float32 each, at ``PYRAMID_STRIDES_PX``.
        """
        anchors, objectness, offsets = [], [], []
        for map_, stride_px in zip(maps, PYRAMID_STRIDES_PX, strict=True):
            features = F.relu(self.shared(map_))
            anchors.append(_anchors(map_.shape[-1], stride_px, map_.device))
            # (B, 3, h, h) -> (B, h * h * 3), the order of the anchors
            objectness.append(self.objectness(features).permute(0, 2, 3, 1).flatten(1))
            # (B, 12, h, h) -> (B, h * h * 3, 4)
            of_cells = self.offsets(features).permute(0, 2, 3, 1)
            offsets.append(of_cells.reshape(len(map_), -1, 4))
        return AnchorPredictions(
            anchors=torch.cat(anchors),
            counts=tuple(len(of_map) for of_map in anchors),
            objectness=torch.cat(objectness, dim=1).float(),
            offsets=torch.cat(offsets, dim=1).float(),
        )


@torch.no_grad()
def propose(predictions: AnchorPredictions, size_px: int) -> list[torch.Tensor]:
    """Return for each picture the best (N, 4) boxes, N <= 1000, inside the picture.

    Args:
        predictions: Of B pictures.
        size_px: Side of the pictures.
    """
    proposals = []
    for objectness, offsets in zip(predictions.objectness, predictions.offsets, strict=True):
        boxes, scores = [], []
        first = 0
        for count in predictions.counts:
            of_map = slice(first, first + count)
            best = objectness[of_map].topk(min(_KEPT, count)).indices + first
            moved = move(predictions.anchors[best], offsets[best], size_px)
            kept = suppress(moved, objectness[best], _MAX_IOU)
            boxes.append(moved[kept])
            scores.append(objectness[best][kept])
            first += count
        order = torch.cat(scores).argsort(descending=True)[:_KEPT]
        proposals.append(torch.cat(boxes)[order])
    return proposals


def proposal_loss(
    predictions: AnchorPredictions, instances: Sequence[Instances]
) -> torch.Tensor:
    """Return objectness loss plus box loss, scalar; finite where there is no instance.

    Args:
        predictions: Of B pictures.
        instances: Of the same pictures.
    """
    objectness, are_objects, box_losses = [], [], []
    for index, of_picture in enumerate(instances):
        assignment = assign(
            predictions.anchors,
            of_picture,
            positive_iou=_POSITIVE_IOU,
            negative_iou=_NEGATIVE_IOU,
            every_instance=True,
        )
        positives, negatives = sample(assignment, count=_SAMPLES, max_positives=_SAMPLES // 2)
        chosen = torch.cat((positives, negatives))
        objectness.append(predictions.objectness[index, chosen])
        are_objects.append(assignment.is_positive[chosen].float())
        wanted = offsets_between(
            predictions.anchors[positives],
            of_picture.boxes[assignment.instance[positives]],
        )
        given = predictions.offsets[index, positives]
        box_losses.append(F.smooth_l1_loss(given, wanted, reduction="sum", beta=_BETA))
    logits = torch.cat(objectness)
    objectness_loss = F.binary_cross_entropy_with_logits(
        logits, torch.cat(are_objects), reduction="sum"
    )
    return (objectness_loss + torch.stack(box_losses).sum()) / max(1, len(logits))


def _anchors(cells: int, stride_px: int, device: torch.device) -> torch.Tensor:
    """Return (cells * cells * 3, 4): row by row, in each cell the three shapes."""
    ratios = torch.tensor(_HEIGHT_TO_WIDTH, device=device)
    widths = _ANCHOR_STRIDES * stride_px / ratios.sqrt()
    half_sides = torch.stack((widths, widths * ratios), dim=1) / 2  # (3, 2)
    centres = (torch.arange(cells, device=device) + 0.5) * stride_px
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack((x, y), dim=2)[:, :, None]  # (cells, cells, 1, 2)
    return torch.cat((points - half_sides, points + half_sides), dim=3).reshape(-1, 4)
