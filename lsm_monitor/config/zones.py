"""Where in the picture water matters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from shapely.geometry import Polygon
from shapely.validation import explain_validity

from lsm_monitor.config.base import Section

Point = tuple[float, float]


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
        for x, y in points:
            if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
                msg = (
                    f"corner [{x:g}, {y:g}] lies outside the picture; coordinates run from 0 "
                    "to 1: divide pixels by the picture's width and height"
                )
                raise ValueError(msg)
        polygon = Polygon(points)
        if not polygon.is_valid:
            msg = f"the outline crosses or touches itself ({explain_validity(polygon)})"
            raise ValueError(msg)
        return points
