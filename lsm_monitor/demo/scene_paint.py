"""Painting flat things that stand in the street: quads with a texture, sprites, and meshes.

Every painter takes the picture, a coverage map and a view, and writes into both; the same
thing is painted a second time ``mirrored`` to make what the water reflects. Callers sort by
distance and supersample; nothing here blends edges but by coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene_view import NEAR_M, Floats, View

_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """What is painted on.

    Attributes:
        image: (H, W, 3) float32 RGB in [0, 255]; written to.
        cover: (H, W) float32 in [0, 1], the share covered by anything painted; written to.
        view: Camera of the picture.
        mirrored: Paint the image in water at y = 0.
    """

    image: Floats
    cover: Floats
    view: View
    mirrored: bool = False

    def paint_quad(self, corners_m: npt.ArrayLike, texture: Floats) -> None:
        """Paint a flat rectangle.

        Args:
            corners_m: (4, 3), clockwise from the texture's top left.
            texture: (h, w, 3) RGB, or (h, w, 4) with its opacity in [0, 1] last; float32.
        """
        height, width = texture.shape[:2]
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
        target = self.view.project(corners_m, mirrored=self.mirrored)
        box = self._box(target)
        if box is None:
            return
        rows, columns = box
        target = target - np.array((columns.start, rows.start), np.float32)
        size = (columns.stop - columns.start, rows.stop - rows.start)
        # Shrinking without a filter would sparkle: shrink the texture first.
        matrix = cv2.getPerspectiveTransform(source, target)
        if texture.shape[2] == 3:  # noqa: PLR2004 - RGB: opaque
            texture = np.dstack([texture, np.ones((height, width), np.float32)])
        warped = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_AREA)
        self._blend(rows, columns, np.asarray(warped, np.float32))

    def paint_sprite(self, base_m: npt.ArrayLike, size_m: float, texture: Floats) -> None:
        """Paint an upright square of side ``size_m`` that faces the camera.

        Args:
            base_m: (3,), middle of its lower edge.
            size_m: Width and height.
            texture: (h, w, 4) float32, see :meth:`paint_quad`.
        """
        base = np.asarray(base_m, np.float32)
        if self.view.depth_m(base) < NEAR_M:
            return
        across = np.array(
            (np.cos(self.view.yaw_rad), 0, -np.sin(self.view.yaw_rad)), np.float32
        )
        left, right = base - across * size_m / 2, base + across * size_m / 2
        up = np.array((0, size_m, 0), np.float32)
        self.paint_quad([left + up, right + up, right, left], texture)

    def _box(self, target: Floats) -> tuple[slice, slice] | None:
        """Return the part of the picture that ``target`` may touch."""
        low = np.floor(target.min(axis=0)).astype(int)
        high = np.ceil(target.max(axis=0)).astype(int)
        height, width = self.cover.shape
        columns = slice(max(0, int(low[0])), min(width, int(high[0])))
        rows = slice(max(0, int(low[1])), min(height, int(high[1])))
        if columns.start >= columns.stop or rows.start >= rows.stop:
            return None
        return rows, columns

    def _blend(self, rows: slice, columns: slice, rgba: Floats) -> None:
        opacity = rgba[..., 3:]
        # The warp interpolates towards transparent black: colours come out premultiplied
        # for opaque textures, and sprites are made so.
        part = self.image[rows, columns]
        part *= 1 - opacity
        part += rgba[..., :3]
        cover = self.cover[rows, columns]
        np.maximum(cover, opacity[..., 0], out=cover)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One flat piece of a mesh: (n, 3) corners in metres, convex, and its colour."""

    corners_m: Floats
    rgb: tuple[float, float, float]


def paint_mesh(
    image: npt.NDArray[np.uint8],
    cover: npt.NDArray[np.uint8],
    view: View,
    faces: list[Face],
    *,
    mirrored: bool = False,
    waterline_m: float = -1.0,
) -> None:
    """Paint ``faces``, far ones first, into ``image`` and as 255 into ``cover``.

    Args:
        image: (H, W, 3) uint8 RGB.
        cover: (H, W) uint8.
        view: Camera of ``image``.
        faces: The mesh.
        mirrored: Paint its mirror image in the water.
        waterline_m: What is lower is under water and not seen.
    """
    for face in sorted(faces, key=lambda face: -float(view.depth_m(face.corners_m).mean())):
        corners = face.corners_m.copy()
        corners[:, 1] = np.maximum(corners[:, 1], waterline_m)
        if mirrored:
            corners[:, 1] -= 2 * max(waterline_m, 0.0)
        if view.depth_m(corners).min() < NEAR_M:
            continue
        pixels = view.project(corners, mirrored=mirrored)
        points = np.round(pixels * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(image, [points], face.rgb, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.fillPoly(cover, [points], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
