"""How many square metres of ground a pixel shows.

Four points of a plane with known positions fix the projection between the picture and that
plane (a homography). The camera's height, angle and focal length need not be known; a lens
that bends straight lines breaks it.

Towards the horizon a pixel covers ever more ground and its area becomes a guess. What lies
farther away than twice the farthest of the four points therefore has no area: an area is
that of the water within reach, never an extrapolation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]

_REACH = 2.0
"""How far to trust the four points, as a multiple of the farthest one's distance."""
_IN_LINE = 0.005
"""Height of a triangle, as a share of its longest side, that is no triangle any more."""


class Ground:
    """The plane of the road in one camera's picture.

    Args:
        points: Four (x, y) in the picture, from (0, 0) top left to (1, 1) bottom right; no
            three in line.
        metres: Where they are on the ground, in the same order, in metres.

    Raises:
        ValueError: No camera could see these points so.
    """

    def __init__(self, points: Sequence[Point], metres: Sequence[Point]) -> None:
        seen, at_m = np.array(points, float), np.array(metres, float)
        for corners, where in ((seen, "in the picture"), (at_m, "on the ground")):
            if _are_in_line(corners):
                msg = f"three of the four points lie in line {where}; move one aside"
                raise ValueError(msg)
        self._to_ground = _to_basis(at_m) @ np.linalg.inv(_to_basis(seen))
        # Inversely proportional to how far in front of the camera the ground there is.
        closeness = _apply(self._to_ground, seen)[:, 2]
        if closeness.min() * closeness.max() <= 0:
            msg = (
                "no camera sees four points so; are the positions in the same order as the "
                "points in the picture?"
            )
            raise ValueError(msg)
        self._to_ground /= np.sign(closeness[0])
        self._least_closeness = np.abs(closeness).min() / _REACH

    def pixel_areas_m2(self, mask_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Return the ground that each pixel shows.

        Returns:
            (h, w) float32 in square metres, exact for a plane; 0 where it is out of reach.
        """
        height, width = mask_hw
        columns, rows = np.meshgrid(np.linspace(0, 1, width + 1), np.linspace(0, 1, height + 1))
        corners = _apply(self._to_ground, np.stack([columns, rows], axis=-1))
        within_reach = corners[..., 2] >= self._least_closeness
        closeness = np.where(within_reach, corners[..., 2], 1.0)
        at_m = corners[..., :2] / closeness[..., None]
        # A projection keeps lines straight: half the cross product of the diagonals is the
        # area of a pixel's quadrilateral, and the integral of the Jacobian over the pixel.
        down = at_m[1:, 1:] - at_m[:-1, :-1]
        up = at_m[:-1, 1:] - at_m[1:, :-1]
        areas = 0.5 * np.abs(down[..., 0] * up[..., 1] - down[..., 1] * up[..., 0])
        whole = within_reach[1:, 1:] & within_reach[:-1, :-1]
        whole &= within_reach[:-1, 1:] & within_reach[1:, :-1]
        return np.where(whole, areas, 0.0).astype(np.float32)


def positions_m(sides_m: Sequence[float], diagonal_m: float) -> tuple[Point, ...]:
    """Return four positions with the given distances.

    Args:
        sides_m: From the first point to the second, on to the third, the fourth, and back.
        diagonal_m: From the first point to the third.

    Raises:
        ValueError: There is no such quadrilateral.
    """
    first, second, third, fourth = sides_m
    for one, other in ((first, second), (third, fourth)):
        if not abs(one - other) < diagonal_m < one + other:
            msg = (
                f"sides of {one:g} m and {other:g} m do not meet over a diagonal of "
                f"{diagonal_m:g} m; measure again"
            )
            raise ValueError(msg)
    # The diagonal along the first axis, the second point on its one side, the fourth beyond.
    return (
        (0.0, 0.0),
        _apex(first, second, diagonal_m),
        (diagonal_m, 0.0),
        _mirrored(_apex(fourth, third, diagonal_m)),
    )


def _apex(left_m: float, right_m: float, base_m: float) -> Point:
    """Return the third corner of a triangle whose base runs from 0 along the first axis."""
    x = (left_m**2 - right_m**2 + base_m**2) / (2 * base_m)
    return x, math.sqrt(left_m**2 - x**2)


def _mirrored(point: Point) -> Point:
    return point[0], -point[1]


def _are_in_line(corners: npt.NDArray[np.float64]) -> bool:
    """Return whether any three of ``corners``, (4, 2), lie in line, or nearly."""
    for three in itertools.combinations(corners, 3):
        one, other = three[1] - three[0], three[2] - three[0]
        doubled_area = abs(one[0] * other[1] - one[1] * other[0])
        longest = max(np.hypot(*(a - b)) for a, b in itertools.combinations(three, 2))
        if doubled_area <= _IN_LINE * longest**2:
            return True
    return False


def _to_basis(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the (3, 3) that takes the axes to three of ``corners``, (1, 1, 1) to the last."""
    homogeneous = np.column_stack([corners, np.ones(4)]).T
    first, last = homogeneous[:, :3], homogeneous[:, 3]
    return np.asarray(first * np.linalg.solve(first, last))


def _apply(
    matrix: npt.NDArray[np.float64], points: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return ``points``, (..., 2), as homogeneous (..., 3) on the other side."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])
