"""A small copy of a picture, on which its health is judged.

Pixels are skipped and not averaged, for two reasons: averaging a 1080p picture costs more than
everything that is done with it here, and it would remove the very noise that tells a live
sensor from a frozen one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

MAX_SIDE_PX = 320
TILE_PX = 10
# A grey picture's channels differ by the rounding of YUV only, and its overlay may be coloured.
# Of 916 real pictures in colour, the palest has a fifth of its pixels above this.
_GREY = 4
_COLOURED_FRACTION = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """A sparse sample of one picture.

    Attributes:
        luma: (h, w) float32 in [0, 255], the longer side at most ``MAX_SIDE_PX`` unless the
            picture is very long and thin.
        is_grey: Whether it has no colour, but for a small coloured overlay.
    """

    luma: npt.NDArray[np.float32]
    is_grey: bool

    def tiles(self) -> npt.NDArray[np.float32]:
        """Return the luma cut into tiles, (T, 100), one row per tile of 10 x 10 pixels."""
        rows, columns = self.luma.shape[0] // TILE_PX, self.luma.shape[1] // TILE_PX
        cut = self.luma[: rows * TILE_PX, : columns * TILE_PX]
        # (rows * 10, columns * 10) -> (rows, columns, 10, 10) -> (T, 100)
        grid = cut.reshape(rows, TILE_PX, columns, TILE_PX).swapaxes(1, 2)
        return grid.reshape(-1, TILE_PX * TILE_PX)


def thumbnail(image: npt.NDArray[np.uint8]) -> Thumbnail:
    """Return a sparse sample of ``image``, (H, W, 3) uint8 RGB.

    Raises:
        ValueError: ``image`` is smaller than one tile, or not (H, W, 3).
    """
    if image.ndim != 3 or min(image.shape[:2]) < TILE_PX or image.shape[2] != 3:  # noqa: PLR2004 - RGB
        msg = f"image must be (H, W, 3) with sides of {TILE_PX} px or more, got {image.shape}"
        raise ValueError(msg)
    shorter, longer = sorted(image.shape[:2])
    # The shorter side keeps at least one tile, however long and thin the picture is.
    step = max(1, min(-(-longer // MAX_SIDE_PX), shorter // TILE_PX))
    sample = np.ascontiguousarray(image[::step, ::step])
    luma = cv2.cvtColor(sample, cv2.COLOR_RGB2GRAY).astype(np.float32)
    red, green, blue = cv2.split(sample)
    largest = cv2.max(cv2.max(red, green), blue)
    smallest = cv2.min(cv2.min(red, green), blue)
    coloured = int(np.count_nonzero(cv2.subtract(largest, smallest) > _GREY))
    return Thumbnail(luma, coloured <= _COLOURED_FRACTION * luma.size)
