"""Hides people and number plates in pictures that are kept.

There is no detector here: one that misses a face in twenty is no protection, and none is
shipped whose misses on a street could be measured. So nothing is looked for: everything, or
everything outside the zones, becomes blocks so coarse that a plate is two or three of them.
Water and road stay recognisable; what stands inside a zone is hidden by ``all`` only.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.config.evidence import Blur

BLOCKS_ACROSS = 64
"""Along the longer side, whatever the size of the picture."""


def hide(
    image: npt.NDArray[np.uint8],
    blur: Blur,
    zones: Iterable[Iterable[tuple[float, float]]] = (),
) -> npt.NDArray[np.uint8]:
    """Return ``image`` as it may be kept; itself when nothing is to be hidden.

    Args:
        image: (H, W, 3) uint8, RGB; not written to.
        blur: What is hidden.
        zones: Polygons with corners (x, y) in [0, 1]: what ``outside_zones`` leaves as it is.
    """
    if blur == "none":
        return image
    height, width = image.shape[:2]
    scale = min(1.0, BLOCKS_ACROSS / max(height, width))
    blocks_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, blocks_wh, interpolation=cv2.INTER_AREA)
    hidden = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    if blur == "all":
        return np.asarray(hidden, np.uint8)
    inside = np.zeros((height, width), np.uint8)
    for zone in zones:
        corners = np.array([(x * (width - 1), y * (height - 1)) for x, y in zone])
        cv2.fillPoly(inside, [corners.round().astype(np.int32)], 1)
    return np.where(inside[..., None] > 0, image, hidden).astype(np.uint8)
