"""What a surveyor would measure in the rendered street, so that depth and area can be told.

The ground's shape is known, and so is where each of its points appears. The gauge is a row
of marks across the road, from the low gutter to the crown and beyond: where the water's edge
stands between them says how deep it is over the lowest point of the road.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lsm_monitor.demo.scene_ground import paint_ground
from lsm_monitor.demo.scene_light import view_of
from lsm_monitor.demo.scene_style import SceneStyle

Point = tuple[float, float]

_MARKS = 10
_ACROSS_M = (9.5, 10.5)  # along the road: near the camera, where a centimetre is many pixels
_NEAR_M, _FAR_M = 9.0, 30.0


@dataclass(frozen=True, slots=True)
class Survey:
    """Measures of one street.

    Attributes:
        marks: Places (x, y) in the picture, from (0, 0) top left to (1, 1), and how deep the
            water is over the lowest point of the road when it reaches them, in centimetres;
            lowest first.
        ground_points: Four places on the kerbs.
        ground_metres: Where these are: across and along the road, in metres.
    """

    marks: tuple[tuple[Point, float], ...]
    ground_points: tuple[Point, ...]
    ground_metres: tuple[Point, ...]


def survey(style: SceneStyle) -> Survey:
    """Measure the street of ``style``: the same one that ``StreetScene(style)`` renders."""
    ground = paint_ground(style, np.random.default_rng(style.seed))
    depths_cm = 100 * (ground.height_m - ground.height_m[ground.is_road].min())
    across = ground.is_road & (ground.z_m > _ACROSS_M[0]) & (ground.z_m < _ACROSS_M[1])
    rows, columns = np.nonzero(across)
    found_cm = depths_cm[rows, columns]
    marks = []
    for wanted_cm in np.linspace(found_cm.min(), found_cm.max(), _MARKS):
        nearest = int(np.abs(found_cm - wanted_cm).argmin())
        x = (columns[nearest] + 0.5) / style.width_px
        y = (rows[nearest] + 0.5) / style.height_px
        marks.append(((_rounded(x), _rounded(y)), round(float(found_cm[nearest]), 1)))
    half_m = style.road_width_m / 2
    corners_m = [
        (-half_m, _NEAR_M), (half_m, _NEAR_M), (half_m, _FAR_M), (-half_m, _FAR_M),
    ]  # fmt: skip
    pixels = view_of(style).project([(x_m, 0.0, z_m) for x_m, z_m in corners_m])
    points = pixels / np.array((style.width_px, style.height_px), np.float32)
    return Survey(
        marks=tuple(marks),
        ground_points=tuple((_rounded(x), _rounded(y)) for x, y in points),
        ground_metres=tuple(corners_m),
    )


def _rounded(share: float) -> float:
    return round(float(share), 4)
