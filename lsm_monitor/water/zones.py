"""From a mask of the whole picture to one reading per zone.

Zones are polygons in 0-1 coordinates, so they survive a change of the camera's resolution.
They are drawn once per mask size. A pixel that the outline touches belongs to the zone: a
zone thinner than a pixel still has pixels, and a zone never divides by zero.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.geometry import Ground
from lsm_monitor.types import WaterMask, ZoneId, ZoneReading
from lsm_monitor.water.gauges import Gauge, GaugeReader
from lsm_monitor.water.smoothing import BELIEVED_FROM

# cv2 draws with fixed-point corners: 8 binary digits are finer than any 0-1 coordinate a
# person would write.
_SUBPIXEL_BITS = 8


@dataclass(frozen=True, slots=True)
class Zone:
    """Polygon in which water matters.

    Attributes:
        zone_id: Name of the zone, unique within its camera.
        corners: At least three (x, y), from (0, 0) top left to (1, 1) bottom right.
        of_road: Its fraction is a share of the road in it, where the mask tells what is road.
    """

    zone_id: ZoneId
    corners: tuple[tuple[float, float], ...]
    of_road: bool = False


WHOLE_PICTURE = Zone(ZoneId("full"), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))


_LEAST_ROAD_SHARE = 0.25
"""Of a zone. It is drawn on a road: with fewer pixels that are taken for road, traffic hides
it or the model errs, and a puddle must not become all of what is left."""


def zones_of(
    corners_by_id: Mapping[str, Sequence[tuple[float, float]]],
    *,
    of_road: Collection[str] = (),
) -> tuple[Zone, ...]:
    """Return the zones of a camera in the given order; ``full`` when it has none.

    Args:
        corners_by_id: Their outlines.
        of_road: Ids of those whose fraction is a share of the road.
    """
    zones = tuple(
        Zone(ZoneId(zone_id), tuple(corners)) for zone_id, corners in corners_by_id.items()
    )
    return tuple(
        replace(zone, of_road=zone.zone_id in of_road) for zone in zones or (WHOLE_PICTURE,)
    )


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
        gauges: Marks of known height in its picture.
        ground: The plane of its road, for areas.
    """

    def __init__(
        self,
        zones: Sequence[Zone],
        *,
        gauges: Sequence[Gauge] = (),
        ground: Ground | None = None,
    ) -> None:
        self._zones = tuple(zones)
        self._ground = ground
        self._gauges = {
            zone.zone_id: GaugeReader(own)
            for zone in zones
            if (own := [gauge for gauge in gauges if gauge.zone_id == zone.zone_id])
        }
        self._mask_hw = (0, 0)
        self._rasters: tuple[npt.NDArray[np.bool_], ...] = ()
        self._areas_m2: tuple[npt.NDArray[np.float32], ...] = ()

    def read(self, mask: WaterMask, belief: npt.NDArray[np.float32]) -> tuple[ZoneReading, ...]:
        """Return one reading per zone, in the order of the zones.

        Args:
            mask: The mask of one frame.
            belief: (h, w) float32 in [0, 1], from the smoother, which has seen ``mask``.

        Raises:
            ValueError: ``belief`` has another shape than the mask.
        """
        height, width = mask.probability.shape
        if belief.shape != (height, width):
            msg = f"belief must be {(height, width)} as the mask is, got {belief.shape}"
            raise ValueError(msg)
        if (height, width) != self._mask_hw:
            self._draw((height, width))
        return tuple(self._read_zone(mask, belief, index) for index in range(len(self._zones)))

    def _draw(self, mask_hw: tuple[int, int]) -> None:
        self._rasters = tuple(rasterise(zone, mask_hw) for zone in self._zones)
        if self._ground is not None:
            areas_m2 = self._ground.pixel_areas_m2(mask_hw)
            self._areas_m2 = tuple(areas_m2[raster] for raster in self._rasters)
        self._mask_hw = mask_hw

    def _read_zone(
        self, mask: WaterMask, belief: npt.NDArray[np.float32], index: int
    ) -> ZoneReading:
        zone_id, raster = self._zones[index].zone_id, self._rasters[index]
        probability = mask.probability[raster]
        instant, smoothed = probability >= mask.threshold, belief[raster] >= BELIEVED_FROM
        road = None
        if self._zones[index].of_road and mask.road is not None:
            road = mask.road[raster]
        depth = None
        worth = _share(instant == smoothed)
        if zone_id in self._gauges:
            reading = self._gauges[zone_id].read(belief)
            depth, worth = reading.interval, worth * reading.agreement
        return ZoneReading(
            stamp=mask.stamp,
            zone_id=zone_id,
            instant_fraction=_share(instant, of=road),
            water_fraction=_share(smoothed, of=road),
            confidence=0.5 + worth * (_certainty(probability) - 0.5),
            area_m2=_area_m2(self._areas_m2[index], smoothed) if self._areas_m2 else None,
            depth=depth,
        )


def _certainty(probability: npt.NDArray[np.float32]) -> float:
    # In float64: a float32 sum over many pixels may round to a mean above 1.
    return float(np.maximum(probability, 1.0 - probability).mean(dtype=np.float64))


def _area_m2(areas_m2: npt.NDArray[np.float32], water: npt.NDArray[np.bool_]) -> float:
    return float(areas_m2[water].sum(dtype=np.float64))


def _share(pixels: npt.NDArray[np.bool_], of: npt.NDArray[np.bool_] | None = None) -> float:
    """Return the share of all pixels, or of those that are road or under water."""
    whole: float = pixels.size
    if of is not None:
        whole = max(int(np.count_nonzero(of | pixels)), _LEAST_ROAD_SHARE * whole)
    return int(np.count_nonzero(pixels)) / whole
