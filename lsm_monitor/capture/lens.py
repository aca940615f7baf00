"""Drops and dirt on the lens: many places that stay soft or empty while the rest is sharp.

A car or a person hides a place for a moment, a drop for minutes. A parked car that has left
hides nothing any more, but its place looks as if; it is one place, and drops are many.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from lsm_monitor.capture.detail import GRID_WH, Change

# Time constant of the average, in pictures.
_PICTURES: Final = 20.0
_BAD_TIME_SHARE: Final = 0.75
_DIRTY_FRACTION: Final = 0.1
_DIRTY_PLACES: Final = 7


class LensWatch:
    """Follows which places of one camera's pictures stay bad."""

    def __init__(self) -> None:
        self._bad_time = np.zeros(GRID_WH[::-1], np.float32)
        self.is_dirty = False

    def add(self, found: Change) -> None:
        """Add a picture that has otherwise nothing wrong."""
        self._bad_time += ((found.soft | found.lost) - self._bad_time) / _PICTURES
        bad = found.structured & (self._bad_time > _BAD_TIME_SHARE)
        fraction = np.count_nonzero(bad) / np.count_nonzero(found.structured)
        places = cv2.connectedComponents(bad.astype(np.uint8), connectivity=8)[0] - 1
        self.is_dirty = bool(fraction >= _DIRTY_FRACTION and places >= _DIRTY_PLACES)
