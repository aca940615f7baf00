"""A picture with what was found drawn into it, for people."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

_WATER_RGB = (0, 140, 255)
_OUTLINE_RGB = (255, 255, 255)
_ZONE_RGB = (255, 220, 0)
_TINT = 0.45


def draw_overlay(
    image: npt.NDArray[np.uint8],
    *,
    water: npt.NDArray[np.bool_] | None = None,
    zones: Iterable[Iterable[tuple[float, float]]] = (),
) -> npt.NDArray[np.uint8]:
    """Return a copy of ``image`` with water tinted blue and zones outlined in yellow.

    Args:
        image: (H, W, 3) uint8, RGB; not written to.
        water: (h, w) bool, in the aspect ratio of ``image`` at any size, or ``None``.
        zones: Polygons with corners (x, y) in [0, 1].

    Returns:
        (H, W, 3) uint8, RGB.
    """
    result = image.copy()
    height, width = image.shape[:2]
    thickness_px = max(1, round(max(height, width) / 500))
    if water is not None:
        mask = cv2.resize(
            water.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
        )
        blue = np.full_like(result, _WATER_RGB)
        cv2.copyTo(cv2.addWeighted(result, 1 - _TINT, blue, _TINT, 0.0), mask, result)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(result, outlines, -1, _OUTLINE_RGB, thickness_px)
    for zone in zones:
        corners = np.array([(x * (width - 1), y * (height - 1)) for x, y in zone])
        outline = corners.round().astype(np.int32)
        cv2.polylines(result, [outline], isClosed=True, color=_ZONE_RGB, thickness=thickness_px)
    return result
