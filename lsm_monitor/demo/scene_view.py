"""Where the rendered street's camera stands, and where in its picture a point appears.

World axes, in metres: x across the road (0 at its middle), y up (0 at the crown of the
road), z along it, away from the camera. The camera looks level and its picture is cut off
centre, like that of a lens with shift: vertical edges stay vertical, and the mirror image in
level water is the same projection with y negated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# float32 in everything that is kept; NumPy makes some intermediate results float64.
Floats = npt.NDArray[np.floating[Any]]
NEAR_M = 1.5


@dataclass(frozen=True, slots=True)
class View:
    """A camera over the road.

    Attributes:
        width_px: Width of the picture.
        height_px: Height of the picture.
        focal_px: Focal length.
        horizon_px: Row of the horizon.
        height_m: Height of the camera over the road.
        offset_m: How far it stands to the right of the road's middle.
        yaw_rad: How far it looks to the right of the road's direction.
    """

    width_px: int
    height_px: int
    focal_px: float
    horizon_px: float
    height_m: float
    offset_m: float
    yaw_rad: float

    def scaled(self, factor: int) -> View:
        """Return the same camera with ``factor`` times as many pixels per side."""
        return View(
            self.width_px * factor,
            self.height_px * factor,
            self.focal_px * factor,
            self.horizon_px * factor,
            self.height_m,
            self.offset_m,
            self.yaw_rad,
        )

    def depth_m(self, points: npt.ArrayLike) -> Floats:
        """Return how many metres in front of the camera each of ``points``, (..., 3), is."""
        at = np.asarray(points, np.float32)
        sine, cosine = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        depth = (at[..., 0] - self.offset_m) * sine + at[..., 2] * cosine
        return np.asarray(depth, np.float32)

    def project(self, points: npt.ArrayLike, *, mirrored: bool = False) -> Floats:
        """Return the pixel of each point.

        Args:
            points: (..., 3) in metres. What is nearer than ``NEAR_M`` is moved to there.
            mirrored: Return where its mirror image in water at y = 0 appears.

        Returns:
            (..., 2) float32, x and y in pixels, not limited to the picture.
        """
        at = np.asarray(points, np.float32)
        sine, cosine = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        lateral = (at[..., 0] - self.offset_m) * cosine - at[..., 2] * sine
        depth = np.maximum(self.depth_m(at), NEAR_M)
        height = -at[..., 1] if mirrored else at[..., 1]
        column = self.width_px / 2 + self.focal_px * lateral / depth
        row = self.horizon_px + self.focal_px * (self.height_m - height) / depth
        return np.stack([column, row], axis=-1).astype(np.float32)

    def ground(self) -> tuple[Floats, Floats, Floats]:
        """Return x, z and depth in metres of the ground at each pixel, each (H, W) float32.

        Rows at and above the horizon get the farthest ground there is.
        """
        rows = np.arange(self.height_px, dtype=np.float32)[:, None] + 0.5
        columns = np.arange(self.width_px, dtype=np.float32)[None, :] + 0.5
        below_px = np.maximum(rows - self.horizon_px, 0.5)
        depth = self.focal_px * self.height_m / below_px + 0 * columns
        lateral = (columns - self.width_px / 2) * depth / self.focal_px
        sine, cosine = np.sin(self.yaw_rad), np.cos(self.yaw_rad)
        x = lateral * cosine + depth * sine + self.offset_m
        z = -lateral * sine + depth * cosine
        return x.astype(np.float32), z.astype(np.float32), depth.astype(np.float32)
