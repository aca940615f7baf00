"""Areas against a pinhole camera over a plane, whose projection is known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lsm_monitor.geometry import Ground, positions_m

HW = (360, 640)
Point = tuple[float, float]


@dataclass(frozen=True)
class Pinhole:
    """A camera ``height_m`` over the ground that looks ``down_rad`` below the horizon."""

    height_m: float = 5.0
    down_rad: float = 0.35
    focal: float = 0.8  # of the picture's width
    yaw_rad: float = 0.0

    def see(self, at_m: Point) -> Point:
        """Return where (x, z) on the ground appears, in 0-1 coordinates."""
        x, z = at_m
        x, z = (
            x * np.cos(self.yaw_rad) - z * np.sin(self.yaw_rad),
            x * np.sin(self.yaw_rad) + z * np.cos(self.yaw_rad),
        )
        ahead = z * np.cos(self.down_rad) + self.height_m * np.sin(self.down_rad)
        below = self.height_m * np.cos(self.down_rad) - z * np.sin(self.down_rad)
        assert ahead > 0
        aspect = HW[1] / HW[0]
        return 0.5 + self.focal * x / ahead, 0.5 + self.focal * aspect * below / ahead


def ground_of(camera: Pinhole, metres: list[Point]) -> Ground:
    return Ground([camera.see(at_m) for at_m in metres], metres)


def water_of(camera: Pinhole, outline_m: list[Point]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose centres lie in the outline, sampled eight times as finely."""
    fine_hw = (8 * HW[0], 8 * HW[1])
    corners = np.array([camera.see(at_m) for at_m in outline_m]) * (fine_hw[1], fine_hw[0])
    canvas = np.zeros(fine_hw, np.uint8)
    cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return cv2.resize(canvas, HW[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)


RECTANGLE: list[Point] = [(-3.0, 8.0), (3.0, 8.0), (3.0, 20.0), (-3.0, 20.0)]


@pytest.mark.parametrize("yaw_rad", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("down_rad", [0.2, 0.35, 0.8])
def test_the_area_of_a_known_puddle_is_right_within_the_pixels_on_its_shore(
    down_rad: float, yaw_rad: float
) -> None:
    camera = Pinhole(down_rad=down_rad, yaw_rad=yaw_rad)
    # A puddle where the camera looks, a third as wide as that is far away.
    far_m = camera.height_m / np.tan(down_rad)
    outline = np.array([(-0.1, 0.9), (0.1, 0.85), (0.15, 1.1), (-0.05, 1.2)]) * far_m
    turn = np.array([[np.cos(yaw_rad), np.sin(yaw_rad)], [-np.sin(yaw_rad), np.cos(yaw_rad)]])
    puddle = [(float(x), float(z)) for x, z in outline @ turn.T]
    x, z = outline.T
    true_m2 = 0.5 * abs(np.dot(x, np.roll(z, 1)) - np.dot(z, np.roll(x, 1)))
    areas_m2 = ground_of(camera, RECTANGLE).pixel_areas_m2(HW)
    assert areas_m2[water_of(camera, puddle)].sum() == pytest.approx(true_m2, rel=0.02)


def test_from_straight_above_every_pixel_shows_the_same() -> None:
    square: list[Point] = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    areas_m2 = Ground(square, [(4 * x, 9 * y) for x, y in square]).pixel_areas_m2(HW)
    np.testing.assert_allclose(areas_m2, 36.0 / (HW[0] * HW[1]), rtol=1e-4)


def test_nothing_beyond_twice_the_farthest_point_has_an_area_and_the_sky_has_none() -> None:
    camera = Pinhole(down_rad=0.2)
    areas_m2 = ground_of(camera, RECTANGLE).pixel_areas_m2(HW)
    assert areas_m2.min() == 0.0
    assert np.isfinite(areas_m2).all()

    def row_at(z_m: float) -> int:
        return int(camera.see((0.0, z_m))[1] * HW[0])

    column = areas_m2[:, HW[1] // 2]
    assert not column[: row_at(48.0)].any()
    assert column[row_at(35.0) :].all()
    horizon = int((0.5 - camera.focal * HW[1] / HW[0] * np.tan(camera.down_rad)) * HW[0])
    assert horizon > 0
    assert not areas_m2[: horizon + 1].any()


@given(
    camera=st.builds(
        Pinhole,
        height_m=st.floats(2.0, 12.0),
        down_rad=st.floats(0.15, 1.2),
        focal=st.floats(0.5, 2.0),
        yaw_rad=st.floats(-0.5, 0.5),
    ),
    turn=st.integers(0, 3),
    mirrored=st.booleans(),
)
def test_it_does_not_matter_where_one_begins_and_which_way_round_one_goes(
    camera: Pinhole, turn: int, *, mirrored: bool
) -> None:
    order = RECTANGLE[turn:] + RECTANGLE[:turn]
    order = order[::-1] if mirrored else order
    one = ground_of(camera, RECTANGLE).pixel_areas_m2((36, 64))
    other = ground_of(camera, order).pixel_areas_m2((36, 64))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    # And neither does where zero is on the ground, or where north is.
    moved = [(100 - z, 50 + x) for x, z in RECTANGLE]
    again = Ground([camera.see(at_m) for at_m in RECTANGLE], moved).pixel_areas_m2((36, 64))
    np.testing.assert_allclose(one, again, rtol=1e-3, atol=1e-6)


def test_three_points_in_line_are_an_error() -> None:
    in_line = [(0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.9, 0.1)]
    with pytest.raises(ValueError, match="in line in the picture"):
        Ground(in_line, RECTANGLE)
    with pytest.raises(ValueError, match="in line on the ground"):
        Ground([Pinhole().see(at_m) for at_m in RECTANGLE], [(3 * a, b) for a, b in in_line])


@given(order=st.permutations(range(4)))
def test_points_in_another_order_than_their_positions_are_an_error(order: list[int]) -> None:
    points = [Pinhole().see(at_m) for at_m in RECTANGLE]
    # A rectangle may be turned and mirrored, but its diagonals must stay its diagonals.
    assume(abs(order[0] - order[2]) != 2)
    with pytest.raises(ValueError, match="order"):
        Ground(points, [RECTANGLE[index] for index in order])


@given(
    corners=st.tuples(*[st.tuples(st.floats(0.5, 30.0), st.floats(0.5, 30.0))] * 4),
)
def test_positions_from_distances_have_these_distances(corners: tuple[Point, ...]) -> None:
    # One in each quadrant around the origin: never crossed; the diagonals may be bent.
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    four = [np.array(c) * s for c, s in zip(corners, signs, strict=True)]

    def distances(points: list[npt.NDArray[np.float64]]) -> list[float]:
        around = [float(np.hypot(*(points[i - 3] - points[i]))) for i in range(4)]
        return [*around, float(np.hypot(*(points[2] - points[0])))]

    *sides_m, diagonal_m = distances(four)
    found = [np.array(at_m) for at_m in positions_m(sides_m, diagonal_m)]
    np.testing.assert_allclose(distances(found), [*sides_m, diagonal_m], rtol=1e-6)


def test_distances_that_no_quadrilateral_has_are_an_error_with_their_numbers() -> None:
    with pytest.raises(ValueError, match="3 m and 4 m do not meet over a diagonal of 9 m"):
        positions_m([3.0, 4.0, 6.0, 6.0], 9.0)
