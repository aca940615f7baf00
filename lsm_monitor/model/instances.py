"""Instances of water, and which boxes shall find which of them.

A flooded street has no countable objects; the connected regions of its labels stand in for
them. Regions smaller than one cell of the finest feature map, and pixels without a label, are
neither an instance nor dry.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from lsm_monitor.model.boxes import box_iou, share_inside
from lsm_monitor.model.small_model import IGNORED, WATER

UNKNOWN = -1
_MIN_AREA_PX = 16
_MAX_UNKNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Instances:
    """The instances of one picture.

    Attributes:
        boxes: (G, 4) float32 pixels, x1, y1, x2, y2; G may be 0.
        ids: (S, S) int64: 0 is dry, k is inside instance k - 1, ``UNKNOWN`` is neither.
    """

    boxes: torch.Tensor
    ids: torch.Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each of N boxes shall say; boxes that are neither positive nor negative: nothing.

    Attributes:
        instance: (N,) int64, the instance that the box overlaps most; 0 if there is none.
        is_positive: (N,) bool, the box shall find that instance.
        is_negative: (N,) bool, the box shall find nothing.
    """

    instance: torch.Tensor
    is_positive: torch.Tensor
    is_negative: torch.Tensor


def find_instances(labels: torch.Tensor) -> Instances:
    """Return the 8-connected regions of water, on the device of the labels.

    Args:
        labels: (S, S) uint8 of ``DRY``, ``WATER`` and ``IGNORED``.
    """
    array = labels.cpu().numpy()
    water = (array == WATER).astype(np.uint8)
    count, regions, stats, _ = cv2.connectedComponentsWithStats(water)
    large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= _MIN_AREA_PX) + 1
    renumbered = np.full(count, UNKNOWN, np.int64)
    renumbered[0] = 0
    renumbered[large] = np.arange(1, large.size + 1)
    ids = np.where(array == IGNORED, UNKNOWN, renumbered[regions])
    corners = stats[large][:, [cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP]]
    sides = stats[large][:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    boxes = np.concatenate((corners, corners + sides), axis=1).astype(np.float32)
    return Instances(
        boxes=torch.from_numpy(boxes).to(labels.device),
        ids=torch.from_numpy(ids).to(labels.device),
    )


def assign(
    boxes: torch.Tensor,
    instances: Instances,
    *,
    positive_iou: float,
    negative_iou: float,
    every_instance: bool = False,
) -> Assignment:
    """Return which boxes shall find an instance and which none.

    Args:
        boxes: (N, 4).
        instances: Of the same picture.
        positive_iou: Boxes that overlap an instance by at least this are positive.
        negative_iou: Boxes that overlap every instance by less than this are negative, unless
            half of the box or more is unknown.
        every_instance: The box nearest to an instance is positive, however far it is.
    """
    is_known = share_inside(boxes, instances.ids == UNKNOWN) < _MAX_UNKNOWN_SHARE
    if not len(instances.boxes):
        nowhere = torch.zeros_like(is_known)
        return Assignment(nowhere.long(), is_positive=nowhere, is_negative=is_known)
    iou = box_iou(boxes, instances.boxes)
    best_iou, instance = iou.max(dim=1)
    is_positive = best_iou >= positive_iou
    if every_instance:
        is_positive |= (iou == iou.amax(dim=0)).any(dim=1)
    is_negative = (best_iou < negative_iou) & is_known & ~is_positive
    return Assignment(instance, is_positive, is_negative)


def sample(
    assignment: Assignment, *, count: int, max_positives: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return indices of random positive and negative boxes, together at most ``count``.

    Random numbers are torch's. Either may be empty.
    """
    positives = _choose(assignment.is_positive, max_positives)
    return positives, _choose(assignment.is_negative, count - len(positives))


def _choose(mask: torch.Tensor, count: int) -> torch.Tensor:
    indices = mask.nonzero()[:, 0]
    return indices[torch.randperm(len(indices), device=mask.device)[:count]]
