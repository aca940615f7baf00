"""Spatial prompter: where the small model sees water, in the words of SAM's prompt encoder.

One of three kinds (Sec. 3.3). Coordinates are shares of the input square, x before y, [0, 1].
Every picture of a batch gets the same number of tokens, filled up with ``PADDING``, so that a
picture's result does not depend on its neighbours in the batch.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

# SAM's point labels.
PADDING, NEGATIVE, POSITIVE, TOP_LEFT, BOTTOM_RIGHT = -1, 0, 1, 2, 3

_LOGIT_LIMIT = 10.0
_MAX_COMPONENTS = 8


def mask_prompt(logits: torch.Tensor) -> torch.Tensor:
    """Return the dense prompt: the small model's logits, limited.

    SAM was trained with the logits of an earlier guess, so logits are given and not
    probabilities; an over-confident small model must not drown the image.

    Args:
        logits: (B, 1, h, w) float.

    Returns:
        (B, 1, h, w) float in [-10, 10].
    """
    return logits.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)


def point_prompt(
    logits: torch.Tensor, *, threshold: float, grid: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one point for each cell of a ``grid`` x ``grid`` grid.

    A cell with I_P = {p >= threshold} gives its most probable pixel as positive point, any
    other its least probable pixel as negative point.

    Args:
        logits: (B, 1, h, w) float.
        threshold: Probability that counts as water, tau in the paper.
        grid: Cells per side, at most h and w.

    Returns:
        (B, grid * grid, 2) float32 coordinates and (B, grid * grid) int64 labels.
    """
    height, width = logits.shape[-2:]
    probability = logits.float().sigmoid()
    highest, at_highest = F.adaptive_max_pool2d(probability, grid, return_indices=True)
    _, at_lowest = F.adaptive_max_pool2d(-probability, grid, return_indices=True)
    is_water = highest >= threshold
    index = torch.where(is_water, at_highest, at_lowest).flatten(1)
    x = (index % width + 0.5) / width
    y = (torch.div(index, width, rounding_mode="floor") + 0.5) / height
    return torch.stack([x, y], dim=-1), is_water.flatten(1).long()


def box_prompt(
    logits: torch.Tensor, *, threshold: float, per_component: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return bounding boxes as pairs of corner tokens.

    Args:
        logits: (B, 1, h, w) float.
        threshold: Probability that counts as water.
        per_component: A box for each of the eight largest connected pieces of water instead
            of one box round all of it.

    Returns:
        (B, 2 n, 2) float32 coordinates and (B, 2 n) int64 labels, n = 1 or 8. A picture
        without water has no box, only padding.
    """
    count = _MAX_COMPONENTS if per_component else 1
    batch, _, height, width = logits.shape
    coordinates = np.zeros((batch, 2 * count, 2), np.float32)
    labels = np.full((batch, 2 * count), PADDING, np.int64)
    water = (logits[:, 0].float().sigmoid() >= threshold).cpu().numpy().astype(np.uint8)
    for index, mask in enumerate(water):
        boxes = _component_boxes(mask) if per_component else _outer_box(mask)
        for slot, (left, top, right, bottom) in enumerate(boxes[:count]):
            at = slice(2 * slot, 2 * slot + 2)
            coordinates[index, at] = [
                (left / width, top / height),
                (right / width, bottom / height),
            ]
            labels[index, at] = TOP_LEFT, BOTTOM_RIGHT
    device = logits.device
    return torch.from_numpy(coordinates).to(device), torch.from_numpy(labels).to(device)


Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two exclusive


def _outer_box(mask: np.ndarray) -> list[Box]:
    left, top, width, height = cv2.boundingRect(mask)
    return [(left, top, left + width, top + height)] if width else []


def _component_boxes(mask: np.ndarray) -> list[Box]:
    """Return the boxes of the connected pieces, largest first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    pieces = stats[1:]  # 0 is what is not water
    order = np.argsort(-pieces[:, cv2.CC_STAT_AREA], kind="stable")
    return [
        (int(left), int(top), int(left + width), int(top + height))
        for left, top, width, height, _ in pieces[order]
    ]
