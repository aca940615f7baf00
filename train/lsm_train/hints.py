"""What a weak label says about each pixel, and what teacher and anchor make of it.

A hint map is (H, W) uint8, so that it is cropped and mirrored with its picture. Besides dry,
water and ignored (nothing said) it knows four marks, which bind no single pixel.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

from lsm_train.adapt_config import PseudoLabelsSection
from lsm_train.data import DRY, IGNORED, WATER, ImageArray
from lsm_train.weak_labels import WeakLabel

IN_BOX, SOMEWHERE, WATER_POINT, DRY_POINT = 2, 3, 4, 5
"""Water fills part of here; ... is somewhere here; a click on water; a click on dry ground."""

_POINT_RADIUS = 0.015  # of the longer side: a finger's width on a page
_BAND = 0.04  # on either side of a coarse outline, likewise
_SURE_LOGIT = 4.0  # what a prompt says about a pixel that an operator has marked
_LEAST_PIECE = 0.2

Floats = npt.NDArray[np.float32]


def hint_map(label: WeakLabel | None, hw: tuple[int, int]) -> ImageArray:
    """Return (H, W) uint8 of what ``label`` says; ``None`` says nothing."""
    hints = np.full(hw, IGNORED, np.uint8)
    if label is None:
        return hints
    side_px = max(hw)
    if label.is_dry:
        hints[:] = DRY
    elif label.mask is not None:
        _fill_mask(hints, label.mask, 0 if label.is_exact else round(_BAND * side_px))
    elif label.boxes:
        hints[:] = DRY
        for left, top, right, bottom in label.boxes:
            rows = slice(int(top * hw[0]), max(int(top * hw[0]) + 1, round(bottom * hw[0])))
            columns = slice(int(left * hw[1]), max(int(left * hw[1]) + 1, round(right * hw[1])))
            hints[rows, columns] = IN_BOX
    elif label.is_wet:
        hints[:] = SOMEWHERE
    radius_px = max(1, round(_POINT_RADIUS * side_px))
    for points, mark in ((label.water_points, WATER_POINT), (label.dry_points, DRY_POINT)):
        for x, y in points:
            centre = (min(int(x * hw[1]), hw[1] - 1), min(int(y * hw[0]), hw[0] - 1))
            cv2.circle(hints, centre, radius_px, mark, -1)
    return hints


def _fill_mask(hints: ImageArray, mask: npt.NDArray[np.bool_], band_px: int) -> None:
    """Mark what is surely inside and surely outside of a mask drawn by hand."""
    if band_px == 0:
        hints[:] = np.where(mask, WATER, DRY)
        return
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * band_px + 1,) * 2)
    inside = cv2.erode(mask.astype(np.uint8), kernel, borderValue=1)
    outside = cv2.dilate(mask.astype(np.uint8), kernel) == 0
    hints[outside] = DRY
    hints[inside > 0] = WATER


def constrain(logits: torch.Tensor, hints: torch.Tensor) -> torch.Tensor:
    """Return the small model's logits as the operator corrects them: the prompt.

    Anchor and teacher are prompted with what the weak label says, as in WeSAM. The student is
    not, because nobody prompts the daemon.

    Args:
        logits: (B, 1, h, w) float.
        hints: (B, H, W) uint8.
    """
    small = F.interpolate(hints[:, None], logits.shape[-2:], mode="nearest-exact")
    dry = (small == DRY) | (small == DRY_POINT)
    water = (small == WATER) | (small == WATER_POINT)
    logits = torch.where(dry, logits.clamp(max=-_SURE_LOGIT), logits)
    return torch.where(water, logits.clamp(min=_SURE_LOGIT), logits)


def overrule(labels: torch.Tensor, hints: torch.Tensor) -> torch.Tensor:
    """Return labels, (B, H, W) uint8, with those pixels replaced that a hint is sure of."""
    labels = torch.where((hints == DRY) | (hints == DRY_POINT), DRY, labels)
    return torch.where((hints == WATER) | (hints == WATER_POINT), WATER, labels)


def pseudo_labels(
    probability: torch.Tensor, hints: torch.Tensor, settings: PseudoLabelsSection
) -> torch.Tensor:
    """Return the labels that the student learns.

    What the teacher is sure of is kept; a piece of its water with a click on dry ground, and
    none on water, is dry; a click on water vouches for the piece round it, also for a fainter
    one; a box in which it sees too little gets its most probable pixels. Where it has
    overlooked water that somebody clicked on, or a box of it, what else it calls dry there is
    not believed. What a hint is sure of has the last word.

    Args:
        probability: (B, H, W) float in [0, 1], the teacher's.
        hints: (B, H, W) uint8.
        settings: Where water and dry ground begin.

    Returns:
        (B, H, W) uint8 of dry, water and ignored.
    """
    labels = torch.full_like(hints, IGNORED)
    labels[probability >= settings.water_above] = WATER
    labels[probability <= settings.dry_below] = DRY
    for index in range(len(labels)):
        _apply_marks(
            labels[index].numpy(), probability[index].numpy(), hints[index].numpy(), settings
        )
    return overrule(labels, hints)


def _apply_marks(
    labels: ImageArray, probability: Floats, hints: ImageArray, settings: PseudoLabelsSection
) -> None:
    """Change one picture's labels as its marks say, in place."""
    marks = set(np.unique(hints))
    if WATER_POINT in marks:
        _vouch(labels, probability, hints, settings)
    if DRY_POINT in marks:
        _, pieces = cv2.connectedComponents(
            (probability >= settings.dry_below).astype(np.uint8)
        )
        doubted = set(pieces[hints == DRY_POINT]) - set(pieces[hints == WATER_POINT]) - {0}
        labels[np.isin(pieces, list(doubted))] = DRY
    for mark, fill in ((IN_BOX, settings.box_fill), (SOMEWHERE, settings.picture_fill)):
        if mark in marks:
            _, regions = cv2.connectedComponents((hints == mark).astype(np.uint8))
            for region in range(1, regions.max() + 1):
                _fill_region(labels, probability, regions == region, fill)


def _vouch(
    labels: ImageArray, probability: Floats, hints: ImageArray, settings: PseudoLabelsSection
) -> None:
    """Make the pieces round clicks on water water."""
    _, clicks = cv2.connectedComponents((hints == WATER_POINT).astype(np.uint8))
    regions = [clicks == click for click in range(1, clicks.max() + 1)]
    if any(probability[at].mean() < settings.dry_below for at in regions):
        labels[labels == DRY] = IGNORED
    for at in regions:
        edge = float(np.clip(probability[at].mean() / 2, _LEAST_PIECE, 0.5))
        _, pieces = cv2.connectedComponents((probability >= edge).astype(np.uint8))
        vouched = np.isin(pieces, list(set(pieces[at]) - {0}))
        labels[vouched & (hints != DRY_POINT)] = WATER


def _fill_region(
    labels: ImageArray, probability: Floats, region: npt.NDArray[np.bool_], fill: float
) -> None:
    """Make at least ``fill`` of a region water, its most probable pixels first."""
    wanted = round(fill * int(region.sum()))
    inside = labels[region]
    if wanted == 0 or int((inside == WATER).sum()) >= wanted:
        return
    order = np.argsort(-probability[region], kind="stable")
    inside[order[:wanted]] = WATER
    # Of the rest it is only known that the teacher, wrong about these, calls it dry.
    rest = order[wanted:]
    inside[rest[inside[rest] == DRY]] = IGNORED
    labels[region] = inside
