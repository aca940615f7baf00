"""Water on the rendered street: how it looks where it stands.

Three things make water look like water: it mirrors what stands behind it, more so the flatter
one looks at it (Fresnel); waves bend that mirror image; and where it is shallow one sees the
ground through it. Mud hides the ground from a few centimetres on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lsm_monitor.demo.scene_ground import Ground
from lsm_monitor.demo.scene_light import light_of, view_of
from lsm_monitor.demo.scene_paint import visible_box
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_texture import sample_tile, tiled_noise
from lsm_monitor.demo.scene_traffic import Actor
from lsm_monitor.demo.scene_view import NEAR_M, Floats

SHORE_M = 0.004
_MURK_DEPTH_M = 0.022
_TILE_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class _WaveField:
    """Waves that repeat: tile in metres, drift in m/s (across, along), slopes.

    ``slopes`` is (2n, 2n, 2) float32, the tile four times over, so that a place within the
    first tile may be moved by up to one tile without looking where it ends.
    """

    side_m: float
    drift: tuple[float, float]
    slopes: Floats


class Water:
    """Renders water over one street's ground. Rows above ``top_px`` never hold any.

    Args:
        style: The street.
        ground: Its ground.
        rng: Source of chance.
    """

    def __init__(self, style: SceneStyle, ground: Ground, rng: np.random.Generator) -> None:
        view = view_of(style)
        self.top_px = min(max(0, int(view.horizon_px) + 2), style.height_px - 2)
        below = np.s_[self.top_px :]
        self._view = view
        self._ground_m = ground.height_m[below]
        self._x_m, self._z_m = ground.x_m[below], ground.z_m[below]
        self._depth_m = ground.depth_m[below]
        # 1 where one looks along the surface, 0 where straight down on it.
        self._flatness = 1 - view.height_m / np.hypot(self._depth_m, view.height_m)
        self._rows = np.indices(self._ground_m.shape, np.float32)[0]
        self._columns = np.indices(self._ground_m.shape, np.float32)[1]
        self._mud = np.array(style.water_rgb, np.float32) * light_of(style).ambient
        self._foam_rgb = np.full(3, 150, np.float32) * light_of(style).ambient
        self._foam_tile = tiled_noise(rng, 128, roughness=0.8)
        # Two fields that drift apart never look like one moving picture.
        self._waves = (
            _wave_field(rng, side_m=2.9, drift=(0.22, -0.35), share=0.45),
            _wave_field(rng, side_m=9.1, drift=(-0.3, 0.5), share=0.55),
        )
        self._wave_places = [
            tuple(
                np.mod(at, field.side_m) * np.float32(_TILE_PX / field.side_m)
                for at in (self._x_m, self._z_m)
            )
            for field in self._waves
        ]
        # Waves smaller than a pixel blur the mirror image instead of bending it.
        footprint_m = self._depth_m**2 / (view.focal_px * view.height_m)
        seen = np.clip(0.3 / footprint_m, 0, 1)
        self._steepness = ((0.006 + 0.03 * style.waves) * seen)[..., None]
        self._blur_px = 2 * int(2 + 5 * style.waves) + 1
        self._road_heights_m = np.sort(ground.height_m[ground.is_road])

    def surface_m(self, level: float) -> float:
        """Return the height of the surface at which ``level`` of the road is covered.

        At 1 the water stands a hand's breadth over the highest point of the road that is in
        the picture, so that it reaches over the kerbs too.
        """
        heights_m = self._road_heights_m
        place = float(np.clip(level, 0, 1)) * (len(heights_m) - 1)
        covered_m = float(np.interp(place, np.arange(len(heights_m)), heights_m))
        return covered_m + (0.05 * level**8 if level > 0 else -SHORE_M)

    def greatest_depth_m(self, level: float) -> float:
        """Return how deep the water is over the lowest point of the road; dry is below 0."""
        return self.surface_m(level) - float(self._road_heights_m[0])

    def depth_m(self, level: float) -> Floats:
        """Return the depth of the water at each pixel from row ``top_px`` on; dry is < 0."""
        return np.asarray(self.surface_m(level) - self._ground_m, np.float32)

    def render(self, image: Floats, mirror: Floats, depth_m: Floats, t_s: float) -> Floats:
        """Return ``image`` with water on it.

        Args:
            image: (h, W, 3) float32 RGB, the ground from row ``top_px`` on.
            mirror: (H, W, 3) float32 RGB, the whole mirror image.
            depth_m: (h, W) float32, from :meth:`depth_m`.
            t_s: Time, moves the waves.

        Returns:
            (h, W, 3) float32 RGB.
        """
        across, along = self._slope_at(t_s)
        mirrored = self._mirrored(mirror, across, along)
        # Waves that lean towards the camera mirror less: that is what makes them visible.
        flatness = (self._flatness - 3 * along).clip(0, 1)
        fresnel = 0.16 + 0.84 * flatness * flatness
        clear = np.exp(-np.maximum(depth_m, 0) / _MURK_DEPTH_M)[..., None]
        body = self._mud + (image * 0.62 - self._mud) * clear
        water = body + (mirrored - body) * fresnel[..., None]
        opacity = (depth_m / (3 * SHORE_M)).clip(0, 1)[..., None]
        return np.asarray(image + (water - image) * opacity, np.float32)

    def paint_wake(self, image: Floats, depth_m: Floats, actor: Actor, t_s: float) -> None:
        """Paint the foam around a car that drives through the water into ``image``."""
        corners_m = [
            (actor.x_m + x, 0.0, max(NEAR_M, actor.z_m + z))
            for x in (-4.0, 4.0)
            for z in (-9.0, 9.0)
        ]
        points_px = self._view.project(corners_m) - np.array((0, self.top_px), np.float32)
        box = visible_box(points_px, depth_m.shape)
        if box is None or not actor.is_car:
            return
        beside_m = np.abs(self._x_m[box] - actor.x_m)
        ahead_m = (self._z_m[box] - actor.z_m) * actor.heading
        flank = np.exp(-(((beside_m - 1.05) / 0.22) ** 2)) * (np.abs(ahead_m) < 2.3)  # noqa: PLR2004 - the car's length
        bow = np.exp(-(((ahead_m - 2.45) / 0.28) ** 2)) * (beside_m < 1.1)  # noqa: PLR2004 - its width
        behind_m = np.maximum(-ahead_m - 1.8, 0)
        arms = np.exp(-(((beside_m - 0.9 - 0.3 * behind_m) / 0.3) ** 2))
        trail = (arms + 0.5 * (beside_m < 0.8)) * np.exp(-behind_m / 2.5) * (behind_m > 0)  # noqa: PLR2004 - its tyres
        spots = sample_tile(self._foam_tile, self._x_m[box] / 2.0, self._z_m[box] / 2.0 + t_s)
        foam = (flank + 0.8 * bow + trail) * (0.45 + 0.35 * spots).clip(0, 1)
        foam *= (depth_m[box] / 0.08).clip(0, 1)
        white = self._mud * 0.35 + self._foam_rgb
        part = image[box]
        part += (white - part) * foam.clip(0, 0.9)[..., None]

    def _slope_at(self, t_s: float) -> tuple[Floats, Floats]:
        both = np.zeros((*self._depth_m.shape, 2), np.float32)
        for field, (columns, rows) in zip(self._waves, self._wave_places, strict=True):
            right_px, down_px = (v * t_s / field.side_m % 1 * _TILE_PX for v in field.drift)
            both += cv2.remap(
                field.slopes, columns + right_px, rows + down_px, cv2.INTER_LINEAR
            )
        both *= self._steepness
        return both[..., 0], both[..., 1]

    def _mirrored(self, mirror: Floats, across: Floats, along: Floats) -> Floats:
        """Return the mirror image as the waves bend it: twice the slope, in pixels."""
        focal_px = self._view.focal_px
        rows = self._rows + self.top_px + 2 * focal_px * along
        columns = self._columns + 0.5 * focal_px * across
        blurred = cv2.blur(mirror, (3, self._blur_px))
        bent = cv2.remap(
            blurred, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(bent, np.float32)


def _wave_field(
    rng: np.random.Generator, *, side_m: float, drift: tuple[float, float], share: float
) -> _WaveField:
    height = tiled_noise(rng, _TILE_PX, roughness=2.1)
    smooth = cv2.GaussianBlur(np.pad(height, 16, mode="wrap"), (0, 0), 2.0)[16:-16, 16:-16]
    along, across = np.gradient(np.asarray(smooth, np.float32))
    slopes = np.stack([across / across.std(), along / along.std()], axis=-1) * share
    return _WaveField(side_m, drift, np.tile(slopes, (2, 2, 1)).astype(np.float32))
