"""Light, haze and measures that every part of the rendered street agrees on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_view import Floats, View

PAVEMENT_M = 3.2
STREET_END_M = 110.0
_HAZE_M = 260.0


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """How the sky lights the street.

    Attributes:
        ambient: Factor on every colour, by channel.
        sky_rgb: (top, horizon) of the sky.
        lamps: Share of the lamps' and windows' light that shows, [0, 1].
    """

    ambient: Floats
    sky_rgb: tuple[Floats, Floats]
    lamps: float


def light_of(style: SceneStyle) -> Light:
    """Return the light of ``style.daylight``."""
    day = min(style.daylight, 1.2)
    noon = np.array((1.0, 1.0, 1.0), np.float32) * (0.92 - 0.12 * style.rain)
    night = np.array((0.2, 0.21, 0.27), np.float32)
    ambient = night + (noon - night) * day
    top = np.array((160, 170, 182), np.float32) * ambient
    horizon = np.array((216, 218, 218), np.float32) * ambient
    glow = np.array((40, 26, 14), np.float32) * max(0.0, 1 - abs(day - 0.45) / 0.35)
    return Light(ambient, (top, horizon + glow), float(np.clip(1.25 - 1.6 * day, 0, 1)))


def view_of(style: SceneStyle) -> View:
    """Return the camera of ``style``."""
    return View(
        style.width_px,
        style.height_px,
        style.focal_px,
        style.horizon_fraction * style.height_px,
        style.camera_height_m,
        style.camera_offset_m,
        style.yaw_rad,
    )


def lamp_depths_m() -> list[float]:
    """Return where along the road the lamps stand."""
    return [float(z_m) for z_m in np.arange(14.0, STREET_END_M, 24.0)]


def hazed(texture: Floats, light: Light, distance_m: float | Floats) -> Floats:
    """Return ``texture``, (h, w, 3) RGB, as the air lets it be seen from afar."""
    share = 1 - np.exp(-np.asarray(distance_m, np.float32) / _HAZE_M)
    return np.asarray(texture + (light.sky_rgb[1] - texture) * share, np.float32)
