"""The sections about depth, area, trend and corroboration.

Coordinates are those of zones, from 0,0 (top left) to 1,1 (bottom right), so they survive a
change of resolution. What no camera could see so is refused when the file is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from lsm_monitor.config.base import NAME, Seconds, Section
from lsm_monitor.geometry import Ground, positions_m

Preset = Literal["lane_mark", "kerb", "bollard"]
PRESETS_CM: Mapping[Preset, float] = {"lane_mark": 0.0, "kerb": 15.0, "bollard": 60.0}
_MAX_WINDOWS_RATIO = 6


def _inside_the_picture(point: tuple[float, float]) -> tuple[float, float]:
    x, y = point
    if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
        msg = (
            f"point [{x:g}, {y:g}] lies outside the picture; coordinates run from 0 to 1: "
            "divide pixels by the picture's width and height"
        )
        raise ValueError(msg)
    return point


PicturePoint = Annotated[tuple[float, float], AfterValidator(_inside_the_picture)]
DepthCm = Annotated[float, Field(ge=0.0, le=1000.0)]
Metres = Annotated[float, Field(gt=0.0, le=10_000.0)]
Coordinate = Annotated[float, Field(ge=-1e7, le=1e7)]  # wide enough for a map's own numbers
Position = tuple[Coordinate, Coordinate]


class MarkConfig(Section):
    """Something at a known height over the road: covered, the water is at least so deep."""

    points: tuple[PicturePoint, ...] | None = Field(
        default=None, min_length=1, description="Spots of one height, as [x, y]."
    )
    line: tuple[PicturePoint, ...] | None = Field(
        default=None, min_length=2, description="A line of one height, such as a kerb's edge."
    )
    depth_cm: DepthCm | None = Field(
        default=None, description="How deep the water is when it reaches the mark."
    )
    preset: Preset | None = Field(
        default=None, description="Instead: lane_mark 0 cm, kerb 15 cm, bollard 60 cm."
    )

    @model_validator(mode="after")
    def _has_one_place_and_one_height(self) -> Self:
        if (self.points is None) is (self.line is None):
            msg = "write either 'points' or 'line': where in the picture the mark is"
            raise ValueError(msg)
        if (self.depth_cm is None) is (self.preset is None):
            msg = f"write either 'depth_cm' or 'preset' ({', '.join(PRESETS_CM)})"
            raise ValueError(msg)
        return self

    @property
    def height_cm(self) -> float:
        """How deep the water is when it reaches the mark."""
        if self.preset is not None:
            return PRESETS_CM[self.preset]
        assert self.depth_cm is not None  # noqa: S101 - validated above
        return self.depth_cm


class StaffConfig(Section):
    """An upright scale: read along its length, evenly divided from bottom to top."""

    bottom: PicturePoint = Field(description="Its lower end in the picture.")
    top: PicturePoint = Field(description="Its upper end in the picture.")
    bottom_cm: DepthCm = Field(default=0.0, description="Depth at its lower end.")
    top_cm: DepthCm = Field(description="Depth at its upper end.")

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.top_cm <= self.bottom_cm or self.top == self.bottom:
            msg = (
                f"'top_cm' ({self.top_cm:g}) must be above 'bottom_cm' ({self.bottom_cm:g}), "
                "and 'top' another place than 'bottom'"
            )
            raise ValueError(msg)
        return self


class GaugeConfig(Section):
    """A virtual gauge: marks, or a staff."""

    zone: Annotated[str, Field(pattern=NAME)] | None = Field(
        default=None, description="Zone whose depth it tells; may be left out beside one zone."
    )
    marks: tuple[MarkConfig, ...] | None = Field(default=None, min_length=1, max_length=64)
    staff: StaffConfig | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.marks is None) is (self.staff is None):
            msg = "write either 'marks' (a list of points or lines) or 'staff'"
            raise ValueError(msg)
        return self


class GroundConfig(Section):
    """Four points of the road whose distances are known: makes areas of pixels."""

    points: tuple[PicturePoint, PicturePoint, PicturePoint, PicturePoint] = Field(
        description="Four places on the road in the picture, going round; no three in line."
    )
    metres: tuple[Position, Position, Position, Position] | None = Field(
        default=None,
        description="Their positions on the ground as [x, y], from any corner, in metres.",
    )
    sides_m: tuple[Metres, Metres, Metres, Metres] | None = Field(
        default=None,
        description="Instead, with 'diagonal_m': metres from 1 to 2, 2 to 3, 3 to 4, 4 to 1.",
    )
    diagonal_m: Metres | None = Field(default=None, description="Metres from 1 to 3.")

    @model_validator(mode="after")
    def _a_camera_could_see_it_so(self) -> Self:
        has_sides = self.sides_m is not None
        if has_sides is not (self.diagonal_m is not None) or has_sides is (
            self.metres is not None
        ):
            msg = "write either 'metres' or both 'sides_m' and 'diagonal_m'"
            raise ValueError(msg)
        self.ground()
        return self

    def ground(self) -> Ground:
        """Return the plane of the road.

        Raises:
            ValueError: No camera could see these points so; never of a checked file.
        """
        if self.metres is not None:
            return Ground(self.points, self.metres)
        assert self.sides_m is not None  # noqa: S101 - validated above
        assert self.diagonal_m is not None  # noqa: S101 - validated above
        return Ground(self.points, positions_m(self.sides_m, self.diagonal_m))


class TrendConfig(Section):
    """How fast water must change to be called rising, falling or dangerous."""

    short_s: Seconds = Field(default=300.0, description="Window that notices a change first.")
    long_s: Seconds = Field(default=900.0, description="Window that is more precise.")
    moving_pp_per_min: float = Field(
        default=0.3, gt=0.0, le=100.0, description="From here on it rises or falls."
    )
    rapid_pp_per_min: float = Field(
        default=5.0, gt=0.0, le=1000.0, description="From here on a rise is told at once."
    )

    @model_validator(mode="after")
    def _windows_are_in_order(self) -> Self:
        if not self.short_s < self.long_s <= _MAX_WINDOWS_RATIO * self.short_s:
            msg = (
                f"'long_s' ({self.long_s:g}) must be longer than 'short_s' ({self.short_s:g}), "
                f"at most {_MAX_WINDOWS_RATIO} times; try long_s: {3 * self.short_s:g}"
            )
            raise ValueError(msg)
        return self


class PlaceConfig(Section):
    """Cameras that look at the same road: their agreement makes an alert certain."""

    cameras: tuple[Annotated[str, Field(pattern=NAME)], ...] = Field(
        min_length=2, description="Their ids."
    )
    min_cameras: int = Field(
        default=2, ge=2, description="k: so many must see water for 'certainty: observed'."
    )

    @model_validator(mode="after")
    def _enough_cameras(self) -> Self:
        if len(set(self.cameras)) < max(self.min_cameras, len(self.cameras)):
            msg = (
                f"'min_cameras' is {self.min_cameras}, but it names {len(set(self.cameras))} "
                f"different cameras in {len(self.cameras)} entries; each counts once"
            )
            raise ValueError(msg)
        return self
