"""What a few clicks say about the rest of their picture.

SAM completes an object from a click; a decoder that was trained on a few hundred floods does
not. Clicks on water *and* on dry ground are therefore spread by the colours of the picture:
GrabCut (Rother et al. 2004) begins with each pixel on the side of the nearest click, learns the
colours of both sides and cuts where they change. What the cut and the nearest click agree on
is taken for known, all else stays unknown.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lsm_train.data import DRY, IGNORED, WATER, ImageArray
from lsm_train.hints import DRY_POINT, WATER_POINT

_SIDE_PX = 192  # of the copy that is cut: colours of surfaces, not of blades of grass
_ITERATIONS = 4
_LEAST_SIDE_PX = 8


def spread_clicks(image: ImageArray, hints: ImageArray) -> ImageArray:
    """Return ``hints`` with clicks of both kinds spread over what nothing else is said about.

    Args:
        image: (H, W, 3) uint8, RGB.
        hints: (H, W) uint8, see :mod:`lsm_train.hints`; returned as they are without clicks
            on water or without any on dry ground.
    """
    scale = min(1.0, _SIDE_PX / max(hints.shape))
    size_wh = tuple(max(1, round(side * scale)) for side in hints.shape[::-1])
    if min(size_wh) < _LEAST_SIDE_PX or not {WATER_POINT, DRY_POINT} <= set(np.unique(hints)):
        return hints
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    water, dry = (_shrunk(hints == mark, size_wh) for mark in (WATER_POINT, DRY_POINT))
    if not (water & ~dry).any() or not (dry & ~water).any():  # on top of each other
        return hints
    sides = np.where(
        _distance(water) < _distance(dry), np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD)
    )
    is_nearer_water = sides == cv2.GC_PR_FGD
    sides[water], sides[dry & ~water] = cv2.GC_FGD, cv2.GC_BGD
    cv2.setRNGSeed(0)  # its k-means draws
    of_water, of_ground, nowhere = np.zeros((1, 65)), np.zeros((1, 65)), (0, 0, 0, 0)
    cv2.grabCut(small, sides, nowhere, of_ground, of_water, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    is_water = (sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD)
    agreed = np.where(is_water == is_nearer_water, np.where(is_water, WATER, DRY), IGNORED)
    enlarged = cv2.resize(
        agreed.astype(np.uint8), hints.shape[::-1], interpolation=cv2.INTER_NEAREST
    )
    return np.where(hints == IGNORED, enlarged, hints)


def _shrunk(marks: npt.NDArray[np.bool_], size_wh: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where anything of ``marks`` falls on a smaller grid; no click is lost."""
    (height, width), (small_width, small_height) = marks.shape, size_wh
    rows, columns = np.nonzero(marks)
    small = np.zeros((small_height, small_width), np.bool_)
    small[rows * small_height // height, columns * small_width // width] = True
    return small


def _distance(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Return how far each pixel lies from the nearest marked one, in pixels."""
    return np.asarray(cv2.distanceTransform((~marks).astype(np.uint8), cv2.DIST_L2, 5))
