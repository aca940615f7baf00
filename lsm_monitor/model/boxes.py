"""Geometry of boxes, in torch: overlap, suppression, offsets, cropping and pasting.

A box is (x1, y1, x2, y2) float32 in pixels of a square picture, x2 > x1 and y2 > y1; pixel
(row i, column j) covers [j, j + 1) x [i, i + 1). Re-implemented from Girshick et al. (R-CNN,
2014), Ren et al. (Faster R-CNN, 2015) and He et al. (Mask R-CNN, 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

_MAX_LOG_SCALE = math.log(1000 / 16)  # an offset cannot make a box overflow
_SAMPLES_PER_BIN = 2  # in each direction, as RoIAlign's authors
_CANONICAL_SIDE_PX, _CANONICAL_LEVEL = 224, 2  # FPN, Eq. 1: level 2 is the map of stride 16


def box_iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(N, 4), (M, 4) -> (N, M) intersection over union in [0, 1]."""
    low = torch.maximum(boxes[:, None, :2], others[:, :2])
    high = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=2)
    return overlap / (_area(boxes)[:, None] + _area(others) - overlap)


def suppress(boxes: torch.Tensor, scores: torch.Tensor, max_iou: float) -> torch.Tensor:
    """Return greedy non-maximum suppression's choice: (K,) int64 indices, best score first.

    Instead of walking through the boxes one by one, all are decided at once from the last
    decision on their betters until nothing changes: the same result in a few passes.

    Args:
        boxes: (N, 4).
        scores: (N,).
        max_iou: A box that overlaps a better kept one by more than this is dropped.
    """
    order = scores.argsort(descending=True, stable=True)
    is_rival = (box_iou(boxes[order], boxes[order]) > max_iou).triu(diagonal=1)
    kept = torch.ones_like(order, dtype=torch.bool)
    while True:
        decided = ~(is_rival & kept[:, None]).any(dim=0)
        if torch.equal(decided, kept):
            return order[kept]
        kept = decided


def offsets_between(boxes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return what turns ``boxes`` into ``targets``: shifts in box sides, logs of the scales.

    Args:
        boxes: (N, 4).
        targets: (N, 4).

    Returns:
        (N, 4): dx, dy, log width ratio, log height ratio.
    """
    centres, sides = _centres_and_sides(boxes)
    target_centres, target_sides = _centres_and_sides(targets)
    shifts = (target_centres - centres) / sides
    return torch.cat((shifts, (target_sides / sides).log()), dim=1)


def move(boxes: torch.Tensor, offsets: torch.Tensor, size_px: int) -> torch.Tensor:
    """Return (N, 4) ``boxes`` with ``offsets`` applied, cut at the picture's border.

    The inverse of :func:`offsets_between` inside the picture. Boxes keep at least one pixel
    of width and height.
    """
    centres, sides = _centres_and_sides(boxes)
    centres = centres + offsets[:, :2] * sides
    half_sides = sides * offsets[:, 2:].clamp(max=_MAX_LOG_SCALE).exp() / 2
    low = (centres - half_sides).clamp(0, size_px - 1)
    high = (centres + half_sides).clamp(max=size_px)
    return torch.cat((low, torch.maximum(high, low + 1)), dim=1)


def share_inside(boxes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (N,) float32 in [0, 1]: how much of each box lies on the mask.

    Args:
        boxes: (N, 4); parts outside the picture do not count.
        mask: (S, S) bool.
    """
    # sums[i, j] = pixels of the mask above row i and left of column j
    sums = F.pad(mask.to(torch.int64).cumsum(dim=0).cumsum(dim=1), (1, 0, 1, 0))
    x1, y1, x2, y2 = boxes.round().long().clamp(0, mask.shape[-1]).unbind(dim=1)
    inside = sums[y2, x2] - sums[y1, x2] - sums[y2, x1] + sums[y1, x1]
    return inside / ((x2 - x1) * (y2 - y1)).clamp(min=1)


def bin_centres(boxes: torch.Tensor, bins: int) -> torch.Tensor:
    """Return (N, ``bins``, ``bins``, 2): x, y in pixels of an even grid inside each box."""
    steps = (torch.arange(bins, device=boxes.device) + 0.5) / bins
    points = boxes[:, None, :2] + steps[:, None] * (boxes[:, None, 2:] - boxes[:, None, :2])
    x, y = points.unbind(dim=2)  # (N, bins) each
    return torch.stack(
        (x[:, None, :].expand(-1, bins, -1), y[:, :, None].expand(-1, -1, bins)), dim=3
    )


def roi_align(
    maps: Sequence[torch.Tensor], boxes: Sequence[torch.Tensor], *, size_px: int, bins: int
) -> torch.Tensor:
    """Return the features inside boxes, each taken from the map that suits its size.

    Args:
        maps: Pyramid, (B, C, h, w) float32 each, stride 4 first, each half of the one before.
        boxes: For each of the B pictures (N_i, 4).
        size_px: Side of the pictures in the boxes' pixels.
        bins: Side of the result.

    Returns:
        (sum of N_i, C, ``bins``, ``bins``) float32, in the order of the boxes.
    """
    crops, positions = [], []
    first = 0
    for index, of_picture in enumerate(boxes):
        levels = _levels(of_picture, len(maps))
        for level, map_ in enumerate(maps):
            chosen = (levels == level).nonzero()[:, 0]
            crops.append(_crop(map_[index], of_picture[chosen], size_px=size_px, bins=bins))
            positions.append(first + chosen)
        first += len(of_picture)
    return torch.cat(crops)[torch.cat(positions).argsort()]


def paste(
    logits: torch.Tensor, boxes: torch.Tensor, *, size_px: int, side: int, outside: float
) -> torch.Tensor:
    """Return the masks of one picture joined: at each pixel the highest logit of any box.

    Args:
        logits: (N, m, m) float32, one mask for each box.
        boxes: (N, 4).
        size_px: Side of the picture in the boxes' pixels.
        side: Side of the result in its own pixels.
        outside: The logit where no box is, and the lowest anywhere.

    Returns:
        (1, ``side``, ``side``) float32.
    """
    picture = boxes.new_tensor([[0.0, 0.0, size_px, size_px]])
    points = bin_centres(picture, side)  # (1, side, side, 2)
    low, high = boxes[:, None, None, :2], boxes[:, None, None, 2:]
    grid = (points - low) / (high - low) * 2 - 1
    pasted = F.grid_sample(logits[:, None] - outside, grid, align_corners=False)
    nothing = logits.new_zeros(1, 1, side, side)
    return torch.cat((nothing, pasted)).amax(dim=0) + outside


def _area(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)


def _centres_and_sides(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def _levels(boxes: torch.Tensor, count: int) -> torch.Tensor:
    """(N, 4) -> (N,) int64 in [0, ``count``): a box of 224 px is cut from stride 16."""
    levels = _CANONICAL_LEVEL + (_area(boxes).sqrt() / _CANONICAL_SIDE_PX + 1e-6).log2()
    return levels.floor().long().clamp(0, count - 1)


def _crop(map_: torch.Tensor, boxes: torch.Tensor, *, size_px: int, bins: int) -> torch.Tensor:
    """(C, h, w), (N, 4) -> (N, C, ``bins``, ``bins``).

    The boxes stand one below the other in a single tall grid: to repeat the map for every
    box instead would take gigabytes.
    """
    samples = bins * _SAMPLES_PER_BIN
    grid = bin_centres(boxes, samples).reshape(1, -1, samples, 2) / size_px * 2 - 1
    tall = F.grid_sample(map_[None], grid, padding_mode="border", align_corners=False)
    crops = tall.reshape(len(map_), len(boxes), samples, samples).transpose(0, 1)
    return F.avg_pool2d(crops, _SAMPLES_PER_BIN)
