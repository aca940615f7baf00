"""What a few clicks, or a box, say about the rest of their picture.

SAM completes an object from a click or in a box; a decoder that was trained on a few hundred
floods does not. GrabCut (Rother et al. 2004) takes its place: it learns the colours of water
and ground where something is said, and cuts where they change.

* With clicks on water *and* on dry ground it begins with each pixel on the side of the nearest
  click. What the cut and the nearest click agree on is taken for known.
* With boxes it begins with all inside as water, and all outside is dry; clicks stay what they
  are. What is left of the inside is taken for water, and nothing is known about what was cut
  away. A box without a click of which too little is left stays one: it was cut wrong, as where
  water and sky are of one grey.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from lsm_train.data import DRY, IGNORED, WATER, ImageArray
from lsm_train.hints import DRY_POINT, IN_BOX, SOMEWHERE, WATER_POINT

_SIDE_PX: Final = 192  # of the copy that is cut: colours of surfaces, not of blades of grass
_ITERATIONS: Final = 4
_LEAST_SIDE_PX: Final = 8
_LEAST_OUTSIDE: Final = 0.05  # of the picture, to know the colours of dry ground by

Flags = npt.NDArray[np.bool_]


def cut(image: ImageArray, hints: ImageArray, *, box_fill: float) -> ImageArray:
    """Return ``hints`` with clicks and boxes spread by the colours of their picture.

    Args:
        image: (H, W, 3) uint8, RGB.
        hints: (H, W) uint8, see :mod:`lsm_train.hints`; where neither boxes nor clicks of both
            kinds say anything they are returned as they are.
        box_fill: Share of a box that is water at least.
    """
    height, width = hints.shape
    scale = min(1.0, _SIDE_PX / max(hints.shape))
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    if min(size_wh) < _LEAST_SIDE_PX:
        return hints
    boxed = _shrink(hints == IN_BOX, size_wh)
    water, dry = (_shrink(hints == mark, size_wh) for mark in (WATER_POINT, DRY_POINT))
    small = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    if boxed.any():
        found, unsaid = _cut_boxes(small, boxed, water, box_fill), hints == IN_BOX
    else:
        found = _spread_clicks(small, water, dry)
        unsaid = np.isin(hints, (IGNORED, SOMEWHERE))
    if found is None:
        return hints
    enlarged = cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.where(unsaid, enlarged, hints).astype(np.uint8)


def _spread_clicks(image: ImageArray, water: Flags, dry: Flags) -> ImageArray | None:
    """Return what clicks of both kinds say; ``None`` without both, or on the same spot."""
    if not (water & ~dry).any() or not (dry & ~water).any():
        return None
    is_nearer_water = _distance(water) < _distance(dry)
    start = _start(is_nearer_water)
    start[water], start[dry & ~water] = cv2.GC_FGD, cv2.GC_BGD
    is_water = _grab_cut(image, start)
    sides = np.where(is_water, WATER, DRY)
    return np.where(is_water == is_nearer_water, sides, IGNORED).astype(np.uint8)


def _cut_boxes(
    image: ImageArray, boxed: Flags, water: Flags, box_fill: float
) -> ImageArray | None:
    """Return what boxes say about their inside; ``None`` when too little is outside."""
    if np.mean(~(boxed | water)) < _LEAST_OUTSIDE:
        return None
    start = _start(boxed)
    start[~boxed] = cv2.GC_BGD  # a click on dry ground is no part of its box
    start[water] = cv2.GC_FGD
    is_water = _grab_cut(image, start)
    _, boxes = cv2.connectedComponents((boxed | water).astype(np.uint8))
    left = np.bincount(boxes[is_water], minlength=boxes.max() + 1) / np.bincount(boxes.ravel())
    is_wrong = left < box_fill
    is_wrong[boxes[water]] = False  # there the colours of its water are known
    return np.select([is_wrong[boxes], is_water], [IN_BOX, WATER], IGNORED).astype(np.uint8)


def _start(is_water: Flags) -> ImageArray:
    """Return where the cut begins: each pixel is probably as given."""
    return np.where(is_water, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)


def _grab_cut(image: ImageArray, start: ImageArray) -> Flags:
    cv2.setRNGSeed(0)  # its k-means draws
    of_water, of_ground, nowhere = np.zeros((1, 65)), np.zeros((1, 65)), (0, 0, 0, 0)
    cv2.grabCut(image, start, nowhere, of_ground, of_water, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.isin(start, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _shrink(marks: Flags, size_wh: tuple[int, int]) -> Flags:
    """Return where anything of ``marks`` falls on a smaller grid; no click is lost."""
    (height, width), (small_width, small_height) = marks.shape, size_wh
    rows, columns = np.nonzero(marks)
    small = np.zeros((small_height, small_width), np.bool_)
    small[rows * small_height // height, columns * small_width // width] = True
    return small


def _distance(marks: Flags) -> npt.NDArray[np.float32]:
    """Return how far each pixel lies from the nearest marked one, in pixels."""
    return np.asarray(cv2.distanceTransform((~marks).astype(np.uint8), cv2.DIST_L2, 5))
