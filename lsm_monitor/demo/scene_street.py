"""What stands along the road and does not move, painted once, with its mirror image."""

from __future__ import annotations

from collections.abc import Callable
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
from lsm_monitor.demo.scene_paint import Canvas, paint_mesh
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_texture import (
    facade,
    resized,
    sample_tile,
    shrunk,
    tiled_noise,
    tree,
)
from lsm_monitor.demo.scene_traffic import Actor, car_faces
from lsm_monitor.demo.scene_view import NEAR_M, Floats, View

_SUPERSAMPLING = 2
_TREE_KINDS = 4

Rgba = npt.NDArray[np.uint8]
_Painter = tuple[float, Callable[[Canvas], None]]  # distance in metres, and how to paint


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What stands beside the road, in the picture and in the mirror.

    Attributes:
        image: (H, W, 3) float32 RGB; the ground in it is only a stand-in.
        mirror: (H, W, 3) float32 RGB, what level water at each pixel would mirror.
        cover: (H, W) float32 in [0, 1], the share of each pixel that these things cover.
    """

    image: Floats
    mirror: Floats
    cover: Floats


def paint_surroundings(style: SceneStyle, rng: np.random.Generator) -> Surroundings:
    """Paint sky, houses, trees, lamp posts and parked cars."""
    light = light_of(style)
    view = view_of(style).scaled(_SUPERSAMPLING)
    trees = [tree(rng) for _ in range(_TREE_KINDS)]
    painters = _houses(style, light, rng) + _street_end(style, light, trees, rng)
    painters += _trees(style, light, trees, rng) + _lamp_posts(style, light)
    painters += _parked_cars(style, light, rng)
    painters.sort(key=lambda painter: -painter[0])
    clouds = tiled_noise(rng, 256, roughness=1.7)
    layers: list[Canvas] = []
    for mirrored in (False, True):
        image = _sky(view, light, clouds, mirrored=mirrored)
        canvas = Canvas(image, np.zeros(image.shape[:2], np.float32), view, mirrored=mirrored)
        for _, paint in painters:
            paint(canvas)
        layers.append(canvas)
    straight, mirror = layers
    return Surroundings(
        *(
            resized(layer, width_px=style.width_px, height_px=style.height_px)
            for layer in (straight.image, mirror.image, straight.cover)
        )
    )


def _sky(view: View, light: Light, clouds: Floats, *, mirrored: bool) -> Floats:
    """Return the sky over the whole picture; mirrored, it hangs below the horizon."""
    rows = np.arange(view.height_px, dtype=np.float32)[:, None, None] + 0.5
    above = (rows - view.horizon_px) if mirrored else (view.horizon_px - rows)
    share = np.clip(above / (0.9 * view.focal_px), 0, 1) ** 0.7
    top, horizon = light.sky_rgb
    columns = np.arange(view.width_px, dtype=np.float32)[None, :]
    above_px = np.maximum(above[..., 0], 0)
    # Clouds flatten towards the horizon.
    height = np.log1p(above_px / (0.05 * view.focal_px)) + 0 * columns
    cloud = sample_tile(clouds, columns / view.width_px / 2 + 0 * height, height / 7)
    return np.asarray((horizon + (top - horizon) * share) * (1 + 0.05 * cloud[..., None]))


def _houses(style: SceneStyle, light: Light, rng: np.random.Generator) -> list[_Painter]:
    painters: list[_Painter] = []
    for side in (-1, 1):
        x_m = side * (style.road_width_m / 2 + PAVEMENT_M + rng.uniform(0, 1.5))
        z_m = NEAR_M
        while z_m < STREET_END_M:
            width_m = rng.uniform(8, 18)
            height_m = rng.uniform(6.5, 13)
            texture, glow = facade(rng, width_m=width_m, height_m=height_m)
            lit = texture * light.ambient * (0.85 if side < 0 else 1.0) + glow * light.lamps
            lit = hazed(lit, light, z_m + width_m / 2)
            small = shrunk(lit, 1 / max(1, z_m // 12))
            ends = (z_m, z_m + width_m) if side < 0 else (z_m + width_m, z_m)
            corners = [
                (x_m, height_m, ends[0]),
                (x_m, height_m, ends[1]),
                (x_m, 0.0, ends[1]),
                (x_m, 0.0, ends[0]),
            ]
            painters.append((z_m + width_m, _quad(corners, small)))
            painters.append((z_m + 0.1, _gable(side, x_m, z_m, height_m, lit)))
            z_m += width_m + rng.choice([0.0, 0.0, rng.uniform(1, 4)])
    return painters


def _quad(
    corners: list[tuple[float, float, float]], texture: Floats
) -> Callable[[Canvas], None]:
    return lambda canvas: canvas.paint_quad(corners, texture)


def _gable(
    side: int, x_m: float, z_m: float, height_m: float, front: Floats
) -> Callable[[Canvas], None]:
    """Return the painter of a house's wall that faces the camera, in the front's colour."""
    wall = np.full((64, 64, 3), 1, np.float32) * front.reshape(-1, 3).mean(axis=0) * 0.8
    out_m = x_m + side * 9
    ends = (out_m, x_m) if side < 0 else (x_m, out_m)
    corners = [
        (ends[0], height_m, z_m),
        (ends[1], height_m, z_m),
        (ends[1], 0.0, z_m),
        (ends[0], 0.0, z_m),
    ]
    return _quad(corners, wall)


def _street_end(
    style: SceneStyle, light: Light, trees: list[Rgba], rng: np.random.Generator
) -> list[_Painter]:
    """Return a row of houses and trees across the far end."""
    painters: list[_Painter] = []
    x_m = -70.0
    while x_m < 70.0:  # noqa: PLR2004 - as wide as the picture can show there
        width_m, height_m = rng.uniform(10, 20), rng.uniform(5, 9)
        texture, glow = facade(rng, width_m=width_m, height_m=height_m)
        lit = hazed(texture * light.ambient + glow * light.lamps, light, STREET_END_M)
        small = shrunk(lit, 0.15)
        z_m = STREET_END_M + 8
        corners = [
            (x_m, height_m, z_m),
            (x_m + width_m, height_m, z_m),
            (x_m + width_m, 0.0, z_m),
            (x_m, 0.0, z_m),
        ]
        painters.append((z_m, _quad(corners, small)))
        x_m += width_m
    for x_m in rng.uniform(-style.road_width_m - 8, style.road_width_m + 8, 8):
        base = (float(x_m), 0.0, STREET_END_M)
        painters.append(
            _sprite(base, float(rng.uniform(6, 10)), light, trees[rng.integers(_TREE_KINDS)])
        )
    return painters


def _sprite(
    base: tuple[float, float, float], size_m: float, light: Light, sprite: Rgba
) -> _Painter:
    rgba = sprite.astype(np.float32)
    opacity = rgba[..., 3:] / 255
    colour = hazed(rgba[..., :3] * light.ambient, light, base[2]) * opacity
    texture = np.concatenate([colour, opacity], axis=2)
    small = shrunk(texture, float(np.clip(12 / max(base[2], 1), 0.08, 1)))
    return base[2], lambda canvas: canvas.paint_sprite(base, size_m, small)


def _trees(
    style: SceneStyle, light: Light, trees: list[Rgba], rng: np.random.Generator
) -> list[_Painter]:
    painters = []
    for side in (-1, 1):
        x_m = side * (style.road_width_m / 2 + 1.0)
        for z_m in np.arange(rng.uniform(9, 16), STREET_END_M, rng.uniform(10, 18)):
            if rng.random() < 0.7:  # noqa: PLR2004 - some were never planted
                base = (x_m, 0.1, float(z_m + rng.uniform(-1, 1)))
                painters.append(
                    _sprite(
                        base,
                        float(rng.uniform(4.5, 7.5)),
                        light,
                        trees[rng.integers(_TREE_KINDS)],
                    )
                )
    return painters


def _lamp_posts(style: SceneStyle, light: Light) -> list[_Painter]:
    painters: list[_Painter] = []
    colour = np.array((74, 78, 80), np.float32) * light.ambient
    lamp = np.array((255, 226, 170), np.float32)
    head = lamp * light.lamps + np.array((150, 152, 154)) * light.ambient * (1 - light.lamps)
    for z_m in lamp_depths_m():
        x_m = -(style.road_width_m / 2 + 0.5)
        post = hazed(np.full((32, 32, 3), 1, np.float32) * colour, light, z_m)
        bulb = np.full((32, 32, 3), 1, np.float32) * head.astype(np.float32)
        parts = [
            (x_m - 0.06, x_m + 0.06, 0.0, 7.0, post),
            (x_m, x_m + 1.6, 6.9, 7.0, post),
            (x_m + 1.3, x_m + 1.9, 6.78, 6.92, bulb),
        ]
        for left, right, low, high, texture in parts:
            corners = [
                (left, high, z_m),
                (right, high, z_m),
                (right, low, z_m),
                (left, low, z_m),
            ]
            painters.append((z_m, _quad(corners, texture)))
    return painters


def _parked_cars(style: SceneStyle, light: Light, rng: np.random.Generator) -> list[_Painter]:
    painters: list[_Painter] = []
    for z_m in np.arange(17.0, 60.0, 6.5):
        if rng.random() < 0.3:  # noqa: PLR2004 - share of places that are taken
            x_m = style.road_width_m / 2 + 1.1
            car = Actor(x_m, float(z_m), 1, int(rng.integers(100)), is_car=True)
            painters.append((float(z_m), _mesh(car, float(light.ambient.mean()))))
    return painters


def _mesh(car: Actor, brightness: float) -> Callable[[Canvas], None]:
    faces = car_faces(car, brightness, lamps=False)
    return lambda canvas: paint_mesh(
        canvas.image, canvas.cover, canvas.view, faces, mirrored=canvas.mirrored
    )
