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

# Ground under a car that an overcast sky does not reach: (x, z) from its middle.
_SHADOW_M = ((-1.0, 2.25), (1.0, 2.25), (1.0, -2.25), (-1.0, -2.25))
_SUBPIXEL_BITS = 4
_SUBPIXELS = 1 << _SUBPIXEL_BITS


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
        box = visible_box(target, self.cover.shape)
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
    """One flat piece of a mesh.

    Attributes:
        corners_m: (n, 3) float32, convex.
        rgb: Its colour.
        outwards: (3,) float32, to which side it shows; from behind it is not seen.
        is_detail: Lies on another face and is painted over it.
    """

    corners_m: Floats
    rgb: tuple[float, float, float]
    outwards: Floats
    is_detail: bool


def paint_mesh(
    image: Floats,
    cover: Floats,
    view: View,
    faces: list[Face],
    *,
    mirrored: bool = False,
    waterline_m: float = -1.0,
) -> None:
    """Paint ``faces``, far ones first, with smooth edges.

    Args:
        image: (H, W, 3) float32 RGB; written to.
        cover: (H, W) float32 in [0, 1]; raised to the share of each pixel that is painted.
        view: Camera of ``image``.
        faces: The mesh.
        mirrored: Paint its mirror image in the water.
        waterline_m: What is lower is under water and not seen.
    """
    eye_m = np.array((view.offset_m, view.height_m, 0.0), np.float32)
    if mirrored:
        eye_m[1] = 2 * max(waterline_m, 0.0) - view.height_m
    seen = [face for face in faces if face.outwards @ (eye_m - face.corners_m[0]) > 0]
    seen.sort(key=lambda f: (f.is_detail, -float(view.depth_m(f.corners_m).mean())))
    outlines = []
    for face in seen:
        corners = face.corners_m.copy()
        corners[:, 1] = np.maximum(corners[:, 1], waterline_m)
        if mirrored:
            corners[:, 1] -= 2 * max(waterline_m, 0.0)
        if view.depth_m(corners).min() < NEAR_M:
            return
        outlines.append(view.project(corners, mirrored=mirrored))
    box = visible_box(np.concatenate(outlines), cover.shape) if outlines else None
    if box is None:
        return
    part = image[box]
    size = (part.shape[1], part.shape[0])
    large = cv2.resize(part, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    touched = np.zeros(large.shape[:2], np.float32)
    origin = np.array((box[1].start, box[0].start), np.float32)
    for face, outline in zip(seen, outlines, strict=True):
        points = np.round((outline - origin) * 2 * _SUBPIXELS).astype(np.int32)
        cv2.fillPoly(large, [points], face.rgb, cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.fillPoly(touched, [points], 1.0, cv2.LINE_8, _SUBPIXEL_BITS)
    share = cv2.resize(touched, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
    part[share > 0] = small[share > 0]
    np.maximum(cover[box], share, out=cover[box])


def visible_box(points_px: Floats, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns of a picture of ``shape`` that ``points_px`` may touch."""
    low = np.floor(points_px.min(axis=0)).astype(int)
    high = np.ceil(points_px.max(axis=0)).astype(int) + 1
    rows = slice(max(0, int(low[1])), min(shape[0], int(high[1])))
    columns = slice(max(0, int(low[0])), min(shape[1], int(high[0])))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    return rows, columns


def cast_shadow(image: Floats, view: View, middle_m: tuple[float, float]) -> None:
    """Darken the ground under a car whose middle stands at ``middle_m``, (x, z).

    Args:
        image: (H, W, 3) float32 RGB; written to.
        view: Camera of ``image``.
        middle_m: Where the car stands.
    """
    x_m, z_m = middle_m
    corners = [(x_m + x, 0.0, z_m + z) for x, z in _SHADOW_M]
    outline = view.project(corners)
    box = visible_box(outline, image.shape)
    if box is None or view.depth_m(corners).min() < NEAR_M:
        return
    shape = image[box].shape[:2]
    shade = np.zeros(shape, np.float32)
    points = np.round(outline - np.array((box[1].start, box[0].start))).astype(np.int32)
    cv2.fillPoly(shade, [points], 0.6)
    blur_px = max(1, shape[1] // 12) | 1
    image[box] *= 1 - cv2.blur(shade, (blur_px, blur_px))[..., None]
