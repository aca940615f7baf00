"""Gauges and ground points drawn into a picture: do they lie where somebody measured?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Point = tuple[float, float]

_MARK_RGB = (255, 60, 60)
_GROUND_RGB = (60, 255, 120)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Something that was measured.

    Attributes:
        points: (x, y) in [0, 1]; one is a spot, several are joined.
        labels: Text beside the first points, such as a height; may be shorter.
        is_ground: One of the four ground points' outline, closed; else part of a gauge.
    """

    points: tuple[Point, ...]
    labels: tuple[str, ...]
    is_ground: bool = False


def draw_survey(
    image: npt.NDArray[np.uint8], drawings: Iterable[Drawing]
) -> npt.NDArray[np.uint8]:
    """Return a copy of ``image``, (H, W, 3) uint8 RGB, with ``drawings`` on it."""
    result = image.copy()
    height, width = image.shape[:2]
    thickness_px = max(1, round(max(height, width) / 500))
    for drawing in drawings:
        rgb = _GROUND_RGB if drawing.is_ground else _MARK_RGB
        at = [(round(x * (width - 1)), round(y * (height - 1))) for x, y in drawing.points]
        outline = np.array(at, np.int32)
        cv2.polylines(result, [outline], drawing.is_ground, rgb, thickness_px)
        for spot in at:
            cv2.circle(result, spot, 2 * thickness_px + 1, rgb, cv2.FILLED)
        _write(result, at, drawing.labels, rgb, thickness_px)
    return result


def _write(
    result: npt.NDArray[np.uint8],
    at: Sequence[tuple[int, int]],
    labels: Sequence[str],
    rgb: tuple[int, int, int],
    thickness_px: int,
) -> None:
    for (x, y), label in zip(at, labels, strict=False):
        place = (x + 4 * thickness_px, y - 3 * thickness_px)
        size = 0.35 * thickness_px
        cv2.putText(result, label, place, cv2.FONT_HERSHEY_SIMPLEX, size, rgb, thickness_px)
