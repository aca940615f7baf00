"""What a rendered street looks like: every choice that can be made about it, as a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SceneStyle:
    """The look of one street; the defaults are the demo's.

    Attributes:
        seed: Houses, trees, cracks, traffic: everything that is left to chance.
        width_px: Width of the pictures, even.
        height_px: Height of the pictures, even.
        focal_px: Focal length of the camera.
        horizon_fraction: Height of the horizon in the picture, 0 (top) to 1 (bottom).
        camera_height_m: Height of the camera over the road.
        camera_offset_m: How far it stands to the right of the road's middle.
        yaw_rad: How far it looks to the right of the road's direction.
        road_width_m: Between the kerbs.
        daylight: 1 is an overcast noon, 0.5 dusk, 0 night under lamps.
        rain: 0 is dry; from there on the road is wet, and it rains harder up to 1.
        water_rgb: Colour of the mud in the water, in [0, 255], by daylight.
        waves: Roughness of the water, 0 (a mirror) to 1 (a windy day).
        cars_per_minute: Traffic.
        noise: Standard deviation of the camera's noise, in grey levels of 255.
    """

    seed: int = 22
    width_px: int = 640
    height_px: int = 360
    focal_px: float = 460.0
    horizon_fraction: float = 0.24
    camera_height_m: float = 4.6
    camera_offset_m: float = 2.0
    yaw_rad: float = -0.1
    road_width_m: float = 8.4
    daylight: float = 0.9
    rain: float = 0.35
    water_rgb: Rgb = (122.0, 104.0, 80.0)
    waves: float = 0.45
    cars_per_minute: float = 8.0
    noise: float = 2.5


_MUDS: tuple[Rgb, ...] = (
    (122, 104, 80),
    (136, 106, 72),
    (104, 102, 94),
    (92, 92, 82),
    (112, 108, 104),
    (98, 100, 78),
)


def random_style(seed: int, *, width_px: int = 640, height_px: int = 360) -> SceneStyle:
    """Return a street that differs from others in everything; the same for the same seed."""
    rng = np.random.default_rng(seed)
    mud = _MUDS[rng.integers(len(_MUDS))]
    red, green, blue = (float(np.clip(c * rng.uniform(0.8, 1.15), 40, 180)) for c in mud)
    is_day = rng.random() < 0.65  # noqa: PLR2004 - share of pictures by day
    return SceneStyle(
        seed=seed,
        width_px=width_px,
        height_px=height_px,
        focal_px=float(rng.uniform(0.55, 1.1) * width_px),
        horizon_fraction=float(rng.uniform(0.02, 0.4)),
        camera_height_m=float(rng.uniform(2.2, 9.0)),
        camera_offset_m=float(rng.uniform(-6.0, 6.0)),
        yaw_rad=float(rng.uniform(-0.35, 0.35)),
        road_width_m=float(rng.uniform(5.5, 14.0)),
        daylight=float(rng.uniform(0.75, 1.1) if is_day else rng.uniform(0.0, 0.75)),
        rain=float(rng.choice([0.0, rng.uniform(0.1, 1.0)])),
        water_rgb=(red, green, blue),
        waves=float(rng.uniform(0.05, 1.0)),
        cars_per_minute=float(rng.uniform(0.0, 20.0)),
        noise=float(rng.uniform(0.5, 6.0)),
    )
