"""From a mask of the whole picture to one reading per zone.

Zones are polygons in 0-1 coordinates, so they survive a change of the camera's resolution.
They are drawn once per mask size. A pixel that the outline touches belongs to the zone: a
zone thinner than a pixel still has pixels, and a zone never divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.types import WaterMask, ZoneId, ZoneReading

# cv2 draws with fixed-point corners: 8 binary digits are finer than any 0-1 coordinate a
# person would write.
_SUBPIXEL_BITS = 8


@dataclass(frozen=True, slots=True)
class Zone:
    """Polygon in which water matters.

    Attributes:
        zone_id: Name of the zone, unique within its camera.
        corners: At least three (x, y), from (0, 0) top left to (1, 1) bottom right.
    """

    zone_id: ZoneId
    corners: tuple[tuple[float, float], ...]


WHOLE_PICTURE = Zone(ZoneId("full"), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


def zones_of(corners_by_id: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Zone, ...]:
    """Return the zones of a camera in the given order; ``full`` when it has none."""
    zones = tuple(
        Zone(ZoneId(zone_id), tuple(corners)) for zone_id, corners in corners_by_id.items()
    )
    return zones or (WHOLE_PICTURE,)


def rasterise(zone: Zone, mask_hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the zone's pixels, (h, w) bool with at least one ``True``."""
    height, width = mask_hw
    # The centre of pixel i lies at (i + 0.5) / size. Clipped: an outline on the picture's
    # edge would otherwise be drawn outside of it, and a thin zone there lost.
    corners_xy = np.asarray(zone.corners, np.float64) * (width, height) - 0.5
    corners_xy = np.clip(corners_xy, 0.0, (width - 1, height - 1))
    fixed_point = np.rint(corners_xy * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    canvas = np.zeros(mask_hw, np.uint8)
    cv2.fillPoly(canvas, [fixed_point], color=1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return canvas.astype(np.bool_)


class ZoneReader:
    """Reads the zones of one camera.

    Args:
        zones: The camera's zones.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = tuple(zones)
        self._mask_hw = (0, 0)
        self._rasters: tuple[npt.NDArray[np.bool_], ...] = ()

    def read(
        self, mask: WaterMask, smoothed: npt.NDArray[np.float32]
    ) -> tuple[ZoneReading, ...]:
        """Return one reading per zone, in the order of the zones.

        Args:
            mask: The mask of one frame.
            smoothed: (h, w) float32 in [0, 1], the average that includes ``mask``.

        Raises:
            ValueError: ``smoothed`` has another shape than the mask.
        """
        height, width = mask.probability.shape
        if smoothed.shape != (height, width):
            msg = f"smoothed must be {(height, width)} as the mask is, got {smoothed.shape}"
            raise ValueError(msg)
        if (height, width) != self._mask_hw:
            self._rasters = tuple(rasterise(zone, (height, width)) for zone in self._zones)
            self._mask_hw = (height, width)
        return tuple(
            _read_zone(mask, mask.probability[raster], smoothed[raster], zone.zone_id)
            for zone, raster in zip(self._zones, self._rasters, strict=True)
        )


def _read_zone(
    mask: WaterMask,
    probability: npt.NDArray[np.float32],
    smoothed: npt.NDArray[np.float32],
    zone_id: ZoneId,
) -> ZoneReading:
    """Return the reading of a zone; both arrays are (pixels,), the zone's pixels only."""
    certainty = np.maximum(probability, 1.0 - probability)
    return ZoneReading(
        stamp=mask.stamp,
        zone_id=zone_id,
        instant_fraction=_fraction(probability, mask.threshold),
        water_fraction=_fraction(smoothed, mask.threshold),
        # In float64: a float32 sum over many pixels may round to a mean above 1.
        confidence=float(certainty.mean(dtype=np.float64)),
    )


def _fraction(probability: npt.NDArray[np.float32], threshold: float) -> float:
    return int(np.count_nonzero(probability >= threshold)) / probability.size
