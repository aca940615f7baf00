"""The ground of the rendered street: its look, and its shape, which decides where water is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene_light import (
    PAVEMENT_M,
    STREET_END_M,
    Light,
    hazed,
    lamp_depths_m,
    light_of,
    view_of,
)
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_texture import resized, sample_tile, tiled_noise
from lsm_monitor.demo.scene_view import Floats

_SUPERSAMPLING = 2
_KERB_M = 0.16
_MARK_M = 0.14
_MARK_RGB = (206, 206, 198)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The bare ground at every pixel, as if nothing stood on it.

    Attributes:
        image: (H, W, 3) float32 RGB.
        height_m: (H, W) float32, over the crown of the road.
        is_road: (H, W) bool, between the kerbs and not beyond the street's end.
        x_m: (H, W) float32, across the road.
        z_m: (H, W) float32, along the road.
        depth_m: (H, W) float32, distance from the camera.
    """

    image: Floats
    height_m: Floats
    is_road: npt.NDArray[np.bool_]
    x_m: Floats
    z_m: Floats
    depth_m: Floats


def paint_ground(style: SceneStyle, rng: np.random.Generator) -> Ground:
    """Return the ground of ``style``."""
    tiles = [tiled_noise(rng, 256, roughness=roughness) for roughness in (0.3, 1.0, 1.6)]
    x_m, z_m, depth_m = view_of(style).scaled(_SUPERSAMPLING).ground()
    large = _ground_colour(style, light_of(style), tiles, (x_m, z_m, depth_m))
    image = resized(large, width_px=style.width_px, height_px=style.height_px)
    x_m, z_m, depth_m = view_of(style).ground()
    is_road = (np.abs(x_m) < style.road_width_m / 2) & (z_m < STREET_END_M)
    is_road[: int(view_of(style).horizon_px) + 1] = False
    height_m = _height_m(style, tiles, x_m, z_m)
    return Ground(image, height_m, is_road, x_m, z_m, depth_m)


def _height_m(style: SceneStyle, tiles: list[Floats], x_m: Floats, z_m: Floats) -> Floats:
    """Return the ground's height: a road that leans to one side and sags, between pavements."""
    half_m = style.road_width_m / 2
    low_side = 1.0 if style.seed % 2 else -1.0
    road = -0.01 * np.abs(x_m) - 0.025 * low_side * x_m
    sag_m = 14.0 + style.seed % 7
    road -= 0.07 * np.exp(-(((z_m - sag_m) / 11) ** 2))
    road += 0.0035 * np.maximum(z_m - 30, 0)
    road += 0.016 * sample_tile(tiles[2], x_m / 23, z_m / 23)
    road += 0.0025 * sample_tile(tiles[1], x_m / 5, z_m / 5)
    beside_m = np.maximum(np.abs(x_m) - half_m, 0)
    rise = np.clip(beside_m / _KERB_M, 0, 1) * 0.13 + 0.02 * beside_m
    # Behind the houses, or water there would lie above their roofs like another sky.
    rise += 0.3 * np.maximum(beside_m - PAVEMENT_M - 2, 0)
    return np.asarray(road + rise, np.float32)


def _ground_colour(
    style: SceneStyle, light: Light, tiles: list[Floats], at: tuple[Floats, Floats, Floats]
) -> Floats:
    x_m, z_m, depth_m = at
    fine, medium, coarse = tiles
    half_m = style.road_width_m / 2
    # Detail smaller than a pixel must fade with distance, or it would sparkle.
    footprint_m = depth_m**2 / (style.focal_px * _SUPERSAMPLING * style.camera_height_m)
    near = np.clip(0.06 / footprint_m, 0, 1)
    grain = sample_tile(fine, x_m / 3, z_m / 3) * near
    blotch = sample_tile(medium, x_m / 9, z_m / 9)
    cloud = sample_tile(coarse, x_m / 31, z_m / 31)
    road = 98 + 7 * grain + 3 * blotch + 6 * cloud
    lane_m = np.abs(np.abs(x_m) - half_m / 2)
    tracks = np.exp(-(((lane_m - 0.75) / 0.3) ** 2))
    road -= 8 * tracks - 4 * np.exp(-((lane_m / 0.35) ** 2))
    road -= 16 * np.exp(-(((half_m - np.abs(x_m)) / 0.35) ** 2))  # dirt in the gutter
    cracks = np.abs(sample_tile(coarse, x_m / 12 + 0.3, z_m / 17 + 0.1)) < 0.012  # noqa: PLR2004
    road -= 22 * cracks * near
    colour = road[..., None] * np.array((1.0, 1.0, 0.985), np.float32)
    marks = _marks(x_m, z_m, half_m) * (0.75 + 0.12 * blotch.clip(-2, 2))
    colour += (np.array(_MARK_RGB, np.float32) - colour) * marks[..., None].clip(0, 1)
    pavement = 150 + 6 * grain + 5 * blotch + 6 * cloud
    joints = (np.mod(x_m, 0.6) < 0.025) | (np.mod(z_m, 0.6) < 0.03)  # noqa: PLR2004 - slabs
    pavement -= 26 * joints * near
    beside_m = np.abs(x_m) - half_m
    slabs = pavement[..., None] * np.array((1.0, 0.985, 0.95), np.float32)
    colour = np.where((beside_m > 0)[..., None], slabs, colour)
    kerb = (beside_m > 0) & (beside_m < _KERB_M)
    stones = 164 + 5 * grain - 30 * (np.mod(z_m, 0.9) < 0.04)  # noqa: PLR2004 - joints
    stones = np.where(x_m < 0, stones, stones * 0.75)  # its face looks away from the sky
    colour = np.where(kerb[..., None], stones[..., None], colour)
    earth = np.array((104, 104, 84), np.float32) + 9 * (blotch + cloud)[..., None]
    beyond = (beside_m > PAVEMENT_M + 2) | (z_m > STREET_END_M)
    colour = np.where(beyond[..., None], earth, colour)
    return _lit(style, light, colour.clip(0, 255), at)


def _marks(x_m: Floats, z_m: Floats, half_m: float) -> Floats:
    dashes = (np.abs(x_m) < _MARK_M / 2) & (np.mod(z_m, 6.0) < 3.0)  # noqa: PLR2004 - on, off
    edge_m = half_m - 0.45
    edges = np.abs(np.abs(x_m) - edge_m) < _MARK_M / 2
    return np.asarray(dashes | edges, np.float32)


def _lit(
    style: SceneStyle, light: Light, colour: Floats, at: tuple[Floats, Floats, Floats]
) -> Floats:
    """Return ``colour`` under the sky, the lamps, the haze and the rain."""
    x_m, z_m, depth_m = at
    lamp_x_m = -(style.road_width_m / 2 + 0.5) + 1.6
    pools = np.zeros_like(x_m)
    for lamp_m in lamp_depths_m():
        pools += np.exp(-(((x_m - lamp_x_m) / 5) ** 2) - ((z_m - lamp_m) / 6) ** 2)
    lamps = np.array((0.75, 0.62, 0.42), np.float32) * light.lamps
    lit = colour * (light.ambient + pools[..., None] * lamps)
    shaded = 1 - 0.25 * np.exp(
        -np.maximum(style.road_width_m / 2 + PAVEMENT_M - np.abs(x_m), 0)
    )
    return hazed(lit * shaded[..., None], light, depth_m[..., None])
