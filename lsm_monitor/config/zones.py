"""Where in the picture water matters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from shapely.geometry import Polygon
from shapely.validation import explain_validity

from lsm_monitor.config.base import Section

Point = tuple[float, float]

_MAX_CORNERS = 500
_LEAST_AREA = 1e-8
"""Of the picture: less than a tenth of a pixel of the largest cameras."""


ShareOf = Literal["zone", "road"]


class ZoneConfig(Section):
    """Polygon in which water matters."""

    points: tuple[Point, ...] = Field(
        description="Corners as [x, y], from 0,0 (top left) to 1,1 (bottom right)."
    )

    water_share_of: ShareOf | None = Field(default=None, description="Default: the camera's.")

    @field_validator("points")
    @classmethod
    def _is_a_polygon(cls, points: tuple[Point, ...]) -> tuple[Point, ...]:
        if len(points) < 3:  # noqa: PLR2004 - a triangle
            msg = f"a zone needs at least 3 corners, got {len(points)}"
            raise ValueError(msg)
        if len(points) > _MAX_CORNERS:
            msg = (
                f"a zone has at most {_MAX_CORNERS} corners, got {len(points)}; draw it simpler"
            )
            raise ValueError(msg)
        for x, y in points:
            if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
                msg = (
                    f"corner [{x:g}, {y:g}] lies outside the picture; coordinates run from 0 "
                    "to 1: divide pixels by the picture's width and height"
                )
                raise ValueError(msg)
        polygon = Polygon(points)
        if polygon.convex_hull.area < _LEAST_AREA:
            msg = "the corners lie in one line, so the zone has no area; move one aside"
            raise ValueError(msg)
        if not polygon.is_valid:
            msg = f"the outline crosses or touches itself ({explain_validity(polygon)})"
            raise ValueError(msg)
        return points
