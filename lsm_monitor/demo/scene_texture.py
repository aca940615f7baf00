"""Procedural textures of the rendered street: noise, facades and trees."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene_view import Floats

FACADE_PX_PER_M = 20
_FLOOR_M = 3.1
_BRICK_RGB = ((122, 74, 60), (146, 98, 78), (108, 82, 72))
_PLASTER_RGB = ((186, 176, 158), (160, 160, 158), (198, 186, 150), (142, 150, 156))
_SIGN_RGB = ((120, 34, 30), (28, 62, 96), (34, 82, 54), (60, 56, 54))


def tiled_noise(rng: np.random.Generator, size_px: int, *, roughness: float) -> Floats:
    """Return noise that repeats without a seam.

    Args:
        rng: Source of chance.
        size_px: Side of the square tile.
        roughness: Exponent of the amplitude's fall with frequency; 0 is white, 2 is clouds.

    Returns:
        (size_px, size_px) float32, mean 0, standard deviation 1.
    """
    frequency = np.hypot(
        np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None, :]
    ).clip(1.0 / size_px)
    spectrum = np.fft.rfft2(rng.standard_normal((size_px, size_px)))
    spectrum[0, 0] = 0.0
    noise = np.fft.irfft2(spectrum / frequency**roughness, s=(size_px, size_px))
    return np.asarray(noise / noise.std(), np.float32)


def sample_tile(tile: Floats, x: Floats, y: Floats) -> Floats:
    """Return ``tile`` at (``x``, ``y``), in tiles, wrapped around, bilinear."""
    size_px = tile.shape[0]
    padded = np.pad(tile, (0, 1), mode="wrap")
    columns = np.mod(x, 1.0).astype(np.float32) * size_px
    rows = np.mod(y, 1.0).astype(np.float32) * size_px
    return np.asarray(cv2.remap(padded, columns, rows, cv2.INTER_LINEAR), np.float32)


def resized(texture: Floats, *, width_px: int, height_px: int) -> Floats:
    """Return ``texture`` at another size, averaged so that nothing sparkles; float32."""
    size = (max(1, width_px), max(1, height_px))
    return np.asarray(cv2.resize(texture, size, interpolation=cv2.INTER_AREA), np.float32)


def shrunk(texture: Floats, factor: float) -> Floats:
    """Return ``texture`` at ``factor`` of its size: what is far away needs fewer pixels."""
    height_px, width_px = texture.shape[:2]
    return resized(
        texture, width_px=round(width_px * factor), height_px=round(height_px * factor)
    )


def facade(
    rng: np.random.Generator, *, width_m: float, height_m: float
) -> tuple[Floats, Floats]:
    """Return a house front and the light that comes out of its windows at night.

    Returns:
        (h, w, 3) float32 RGB in [0, 255], and (h, w, 3) float32 to add at night.
    """
    scale = FACADE_PX_PER_M
    size = (max(2, round(height_m * scale)), max(2, round(width_m * scale)))
    is_brick = rng.random() < 0.5  # noqa: PLR2004 - as many of one as of the other
    colours = _BRICK_RGB if is_brick else _PLASTER_RGB
    base = np.array(colours[rng.integers(len(colours))], np.float32)
    base = base * rng.uniform(0.8, 1.1)
    grime = cv2.resize(tiled_noise(rng, 64, roughness=1.2), size[::-1])
    wall = base * (1 + 0.06 * grime[..., None])
    if is_brick:
        wall[:: scale // 5] *= 0.9
    wall *= 1 - 0.25 * np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None] ** 6
    light = np.zeros_like(wall)
    bay_m = rng.uniform(1.9, 2.8)
    window_m = (rng.uniform(0.9, 1.3), rng.uniform(1.4, 1.8))
    floors = max(1, int(height_m // _FLOOR_M))
    bays = max(1, int(width_m // bay_m))
    for floor in range(1, floors):
        for bay in range(bays):
            left = (width_m - bays * bay_m) / 2 + bay * bay_m + (bay_m - window_m[0]) / 2
            top = height_m - (floor + 1) * _FLOOR_M + 0.7
            _window(rng, wall, light, (left, top, *window_m))
    _shop_front(rng, wall, light, width_m=width_m, height_m=height_m)
    wall[: scale // 3] *= 0.75  # the eaves
    return wall.clip(0, 255), light


def _window(
    rng: np.random.Generator,
    wall: Floats,
    light: Floats,
    box_m: tuple[float, float, float, float],
) -> None:
    left, top, width, height = (round(side * FACADE_PX_PER_M) for side in box_m)
    if top < 0:
        return
    frame = np.s_[top : top + height, left : left + width]
    wall[frame] = rng.uniform(150, 215)
    glass = np.s_[top + 2 : top + height - 2, left + 2 : left + width - 2]
    shape = wall[glass].shape
    # Glass mirrors the sky at its top and the dark room shows at its bottom.
    fall = np.linspace(1.0, 0.35, shape[0], dtype=np.float32)[:, None, None]
    wall[glass] = np.array((84, 94, 104), np.float32) * fall * rng.uniform(0.5, 1.2)
    wall[top + height // 2, left + 2 : left + width - 2] = 150
    wall[top + height : top + height + 2, left - 2 : left + width + 2] *= 1.2
    wall[top + height + 2 : top + height + 4, left - 2 : left + width + 2] *= 0.7
    if rng.random() < 0.3:  # noqa: PLR2004 - share of rooms with the light on
        light[glass] = np.array((235, 190, 120), np.float32) * rng.uniform(0.4, 1.0)


def _shop_front(
    rng: np.random.Generator, wall: Floats, light: Floats, *, width_m: float, height_m: float
) -> None:
    scale = FACADE_PX_PER_M
    sign = np.array(_SIGN_RGB[rng.integers(len(_SIGN_RGB))], np.float32)
    top = round((height_m - 2.9) * scale)
    wall[top : top + scale // 2] = sign
    wall[top + scale // 2 : top + scale // 2 + 3] *= 0.5
    pane_m = 1.8
    for pane in range(int(width_m // pane_m)):
        left = round((pane * pane_m + 0.2) * scale)
        box = np.s_[top + scale // 2 + 4 : -scale // 2, left : left + round(1.4 * scale)]
        shape = wall[box].shape
        shade = np.linspace(70, 34, shape[0], dtype=np.float32)[:, None, None]
        wall[box] = shade * rng.uniform(0.7, 1.3) * np.array((0.95, 1.0, 1.05), np.float32)
        light[box] = np.array((230, 200, 150), np.float32) * rng.choice([0.0, 0.5, 0.8])


def tree(rng: np.random.Generator, size_px: int = 300) -> npt.NDArray[np.uint8]:
    """Return a tree, trunk included, as (size_px, size_px, 4) uint8 RGBA; it fills its box."""
    sprite = np.zeros((size_px, size_px, 4), np.uint8)
    middle = size_px / 2
    bark = (58, 50, 42, 255)
    trunk = [(middle - 5, size_px), (middle + 5, size_px), (middle + 3, 150), (middle - 3, 150)]
    cv2.fillPoly(sprite, [np.array(trunk, np.int32)], bark, cv2.LINE_AA)
    boughs = rng.normal((middle, 0.36 * size_px), (0.17 * size_px, 0.13 * size_px), (13, 2))
    for bough in boughs:
        start = (int(middle), int(0.62 * size_px))
        cv2.line(sprite, start, (int(bough[0]), int(bough[1])), bark, 2, cv2.LINE_AA)
    tint = np.array((rng.uniform(50, 74), rng.uniform(64, 80), rng.uniform(38, 50)))
    leaves = 5000
    owner = boughs[rng.integers(len(boughs), size=leaves)]
    place = owner + rng.normal(0, 0.062 * size_px, (leaves, 2)).clip(
        -0.12 * size_px, 0.12 * size_px
    )
    # From the back to the front: dark inside, light where a bough's top meets the sky.
    lift = (owner[:, 1] - place[:, 1]) / (0.15 * size_px) + 0.25 * (
        middle - place[:, 1]
    ) / middle
    shade = (
        0.35 + 0.45 * np.arange(leaves) / leaves + 0.35 * lift + rng.uniform(-0.2, 0.2, leaves)
    )
    for (x, y), bright in zip(place, shade.clip(0.18, 1.4), strict=True):
        red, green, blue = (tint * bright).clip(0, 255)
        colour = (int(red), int(green), int(blue), 255)
        axes = (int(rng.integers(1, 3)), int(rng.integers(0, 3)))
        angle_deg = float(rng.uniform(0, 180))
        cv2.ellipse(sprite, (int(x), int(y)), axes, angle_deg, 0, 360, colour, -1)
    return sprite
