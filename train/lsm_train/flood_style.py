"""What a flooding looks like: every choice that can be made about it, as a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class FloodStyle:
    """The look of one flooding; the same style always gives the same picture.

    Attributes:
        seed: Dips, ripples, drops, lamps: everything that is left to chance.
        camera_height_m: Height of the camera over the road.
        camber_m: How much higher the road's middle is than its edges; negative: lower.
        unevenness_m: Standard deviation of dips and bumps.
        water_rgb: Colour of deep water in linear light, 1 is as bright as the dry road.
        clarity_m: Depth at which 63 % of the ground is lost; small is muddy.
        waves: Roughness of the water, 0 (a mirror) to 1 (a windy day).
        wetness: Of the road that is not under water, 0 (dry) to 1 (it has just rained).
        rain: Rings on the water and streaks in the air, 0 (none) to 1.
        night: 0 is the photograph's own light, 1 is a dark night.
        headlights: Number of cars whose lights shine into the camera.
    """

    seed: int
    camera_height_m: float = 3.0
    camber_m: float = 0.06
    unevenness_m: float = 0.03
    water_rgb: tuple[float, float, float] = (1.0, 0.85, 0.6)
    clarity_m: float = 0.05
    waves: float = 0.3
    wetness: float = 0.0
    rain: float = 0.0
    night: float = 0.0
    headlights: int = 0


def random_flood_style(rng: np.random.Generator) -> FloodStyle:
    """Return a style: muddy or clear, by day or night, in rain or after it."""
    muddy = rng.random() < 0.6  # noqa: PLR2004 - most floods are
    night = float(rng.uniform(0.6, 1.0)) if rng.random() < 0.2 else 0.0  # noqa: PLR2004
    rain = float(rng.uniform(0.2, 1.0)) if rng.random() < 0.3 else 0.0  # noqa: PLR2004
    brightness = rng.uniform(0.45, 1.2) if muddy else rng.uniform(0.15, 0.5)
    hue = (1.0, rng.uniform(0.75, 0.98), rng.uniform(0.45, 0.95))
    return FloodStyle(
        seed=int(rng.integers(2**31)),
        camera_height_m=float(rng.uniform(1.2, 5.0)),
        camber_m=float(rng.uniform(-0.05, 0.12)),
        unevenness_m=float(rng.uniform(0.01, 0.05)),
        water_rgb=(brightness, brightness * hue[1], brightness * hue[2]),
        clarity_m=float(rng.uniform(0.01, 0.05) if muddy else rng.uniform(0.05, 0.3)),
        waves=float(rng.uniform(0.0, 1.0)),
        wetness=float(rng.uniform(0.0, 1.0)) if rain == 0.0 else float(rng.uniform(0.5, 1.0)),
        rain=rain,
        night=night,
        headlights=int(rng.integers(0, 4)) if night else 0,
    )
