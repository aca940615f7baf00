"""Water on the photograph of a dry road, with its exact mask.

    flooding = Flooding(image, road, random_flood_style(rng))
    picture, mask = flooding.render(level=0.4, t_s=12.0)

A surface rises over a made-up height field of the road: camber, dips and bumps, seen by a
pinhole camera whose horizon lies just above the road's far end. What the camera sees of the
water follows from three laws: the ground fades with depth as exp(-depth / clarity) into the
water's own colour (Beer-Lambert), the surface mirrors the scene more the flatter one looks at
it (Fresnel, in Schlick's approximation), and ripples tilt the mirror. Everything is computed
in linear light, where light adds; display values are its square root.

A merely wet road is the same picture at level 0: darker, with the scene smeared into a vertical
gloss, but grain and lane marks stay visible and the mask is empty.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene_texture import sample_tile, tiled_noise
from lsm_train.flood_style import FloodStyle
from lsm_train.layouts import ImageArray, Mask

Floats = npt.NDArray[np.float32]

SHORE_M = 0.004
"""From this depth on a pixel counts as water; a thinner film is a wet road."""

_TILE_PX = 256
_BUMPS_SIDE_M, _GRAIN_SIDE_M = 26.0, 3.0
_FARTHEST_M = 80.0
_FRINGE_M = 0.006  # height over the surface at which the ground is no longer soaked
_OVERFLOW_M = 0.08  # depth at level 1 over the road's highest point
_NORMAL_REFLECTANCE = 0.02  # of water, seen from straight above
_LAMP_HEIGHT_M, _LAMP_SPACING_M = 0.7, 1.4
_LAMP_RGB = (1.0, 0.92, 0.78)
_RING_LIFE_S, _RING_SPEED_M_PER_S = 0.6, 0.25
# Side in metres, drift (across, along) in m/s and share of the slope: two ripple fields that
# drift apart never look like one moving picture.
_RIPPLES = ((1.7, (0.15, -0.3), 0.45), (6.3, (-0.25, 0.4), 0.55))


def flood(
    image: ImageArray, road: Mask, level: float, style: FloodStyle, *, t_s: float = 0.0
) -> tuple[ImageArray, Mask]:
    """Return one picture of a flooded road; see :class:`Flooding` for several."""
    return Flooding(image, road, style).render(level, t_s)


class Flooding:
    """One road that can be flooded to any level; what does not move is computed once.

    Args:
        image: (H, W, 3) uint8 RGB, the dry scene.
        road: (H, W) bool, the road without what stands on it.
        style: The look.

    Raises:
        ValueError: ``road`` is empty or not of the picture's size.
    """

    def __init__(self, image: ImageArray, road: Mask, style: FloodStyle) -> None:
        if road.shape != image.shape[:2] or not road.any():
            msg = f"road must be {image.shape[:2]} and not empty, got {road.shape}"
            raise ValueError(msg)
        rng = np.random.default_rng(style.seed)
        self._style = style
        self._road = road
        self._view = _View(road, style.camera_height_m)
        self._height_m = _road_heights(road, self._view, style, rng)
        self._sorted_m = np.sort(self._height_m[road])
        self._ripples = [_ripple_tile(rng) for _ in _RIPPLES]
        scene = np.square(image.astype(np.float32) / 255.0)
        _nightfall(scene, self._view, style.night, rng)
        self._mirror = _mirrored(scene, road, self._view)
        self._scene = scene
        self._lamps = np.zeros_like(scene)
        for place in _headlights(road, self._view, style.headlights, rng):
            size_px = max(1.0, 0.09 * self._view.focal_px / place[1])
            _add_glow(self._lamps, self._view.project(place, _LAMP_HEIGHT_M), size_px, size_px)
            mirrored = self._view.project(place, -_LAMP_HEIGHT_M)
            _add_glow(self._mirror, mirrored, size_px, 5 * size_px)
        self._gloss = _smeared(self._mirror)
        self._streaks = _rain_streaks(road.shape, style.rain, rng)
        patches = tiled_noise(rng, _TILE_PX, roughness=1.4)
        self._patches = sample_tile(patches, self._view.x_m / 9.0, self._view.z_m / 9.0)
        brightness = float(scene[road].mean())
        self._water_rgb = brightness * np.array(style.water_rgb, np.float32)

    def render(self, level: float, t_s: float = 0.0) -> tuple[ImageArray, Mask]:
        """Return what the camera sees.

        Args:
            level: Height of the water, [0, 1]: about the share of the road's pixels that are
                under it. 0 is a road without standing water; at 1 its highest point is under.
            t_s: Time in seconds; moves ripples and rain.

        Returns:
            Picture, (H, W, 3) uint8 RGB; water, (H, W) bool: the road under more than
            ``SHORE_M``. With a higher level the water only grows.
        """
        depth_m = self.depth_m(level)
        soaked = np.exp(np.minimum(depth_m, 0.0) / _FRINGE_M)
        patchy = self._style.wetness * (0.75 + 0.25 * self._patches).clip(0, 1)
        ground = self._wet(np.maximum(soaked, patchy).clip(0, 1))
        opacity = (depth_m / (2 * SHORE_M)).clip(0, 1)
        soft_road = cv2.GaussianBlur(self._road.astype(np.float32), (0, 0), 0.8)
        water = self._water(ground, np.maximum(depth_m, 0.0), t_s)
        wet_road = ground + (water - ground) * opacity[..., None]
        light = self._scene + (wet_road - self._scene) * soft_road[..., None] + self._lamps
        picture = 255.0 * np.sqrt(light.clip(0, 1)) + self._rain(t_s)
        mask = (depth_m > SHORE_M) & self._road
        return picture.clip(0, 255).astype(np.uint8), mask

    def depth_m(self, level: float) -> Floats:
        """Return (H, W) float32, how deep the ground lies under the surface; dry is < 0."""
        if level <= 0.0:
            return np.full(self._road.shape, -1.0, np.float32)
        surface_m = np.quantile(self._sorted_m, min(level, 1.0)) + _OVERFLOW_M * level**8
        return _floats(surface_m - self._height_m)

    def _wet(self, wetness: Floats) -> Floats:
        """Return the scene with a wet ground: dark, and glossy where one looks flat at it."""
        dark = self._scene * (1.0 - 0.55 * wetness[..., None])
        gloss = 0.55 * wetness * _fresnel(self._view.cosine)
        return _floats(dark + (self._gloss - dark) * gloss[..., None])

    def _water(self, ground: Floats, depth_m: Floats, t_s: float) -> Floats:
        """Return (H, W, 3) the look of water of this depth, everywhere."""
        across, along = self._slopes(depth_m, t_s)
        view = self._view
        refraction_px = 0.25 * depth_m * view.focal_px / view.z_m  # 1 - 1/n of the depth
        seen = _shifted(ground, refraction_px * across * 8, refraction_px * along * 8)
        fade = np.exp(-depth_m / self._style.clarity_m)[..., None]
        body = self._water_rgb + (seen - self._water_rgb) * fade
        mirrored = _shifted(
            self._mirror, 0.5 * view.focal_px * across, 2 * view.focal_px * along
        )
        # A ripple that leans towards the camera is looked at more steeply and mirrors less.
        share = _fresnel((view.cosine + 3 * along).clip(0, 1))
        return _floats(body + (mirrored - body) * share[..., None])

    def _slopes(self, depth_m: Floats, t_s: float) -> tuple[Floats, Floats]:
        """Return the surface's slope across and along the line of sight, each (H, W)."""
        view = self._view
        across, along = np.zeros_like(depth_m), np.zeros_like(depth_m)
        for (side_m, drift, share), tile in zip(_RIPPLES, self._ripples, strict=True):
            x, z = (
                (at + v * t_s) / side_m
                for at, v in zip((view.x_m, view.z_m), drift, strict=True)
            )
            across += share * sample_tile(tile[0], x, z)
            along += share * sample_tile(tile[1], x, z)
        # Ripples are lower in shallow water, and those smaller than a pixel are not seen.
        steepness = (0.006 + 0.06 * self._style.waves) * (depth_m / 0.04).clip(0.15, 1)
        steepness *= (0.15 / view.pixel_m).clip(0, 1)
        rings = 0.06 * self._rings(t_s) if self._style.rain > 0 else 0.0
        return _floats(across * steepness), _floats(along * steepness + rings)

    def _rings(self, t_s: float) -> Floats:
        """Return (H, W) in [-1, 1]: the rings that drops make, wide where they are near."""
        view = self._view
        canvas = np.zeros(self._road.shape, np.uint8)
        for drop in range(int(250 * self._style.rain)):
            age, life = np.modf(t_s / _RING_LIFE_S + drop / 250)
            rng = np.random.default_rng((self._style.seed, drop, int(life)))
            z_m = float(rng.uniform(1.0, 15.0)) * view.camera_height_m / 2
            x_m = float(rng.uniform(-1.0, 1.0)) * z_m
            radius_px = view.focal_px / z_m * float(age) * _RING_LIFE_S * _RING_SPEED_M_PER_S
            centre, flat = view.project((x_m, z_m), 0.0), view.camera_height_m / z_m
            axes = (int(radius_px) + 1, int(radius_px * min(flat, 1.0)) + 1)
            at = (round(centre[0]), round(centre[1]))
            fade = int(255 * (1.0 - age))
            cv2.ellipse(canvas, at, axes, 0.0, 0.0, 360.0, fade, 1, cv2.LINE_AA)
        rings = canvas.astype(np.float32) / 255.0
        return _floats(rings - np.roll(rings, 1, axis=0))

    def _rain(self, t_s: float) -> Floats:
        """Return (H, W, 1) display values to add: another part of the streaks each time."""
        rng = np.random.default_rng((self._style.seed, round(t_s * 1000)))
        height, width = self._road.shape
        down, right = int(rng.integers(height)), int(rng.integers(width))
        return self._streaks[down : down + height, right : right + width, None]


class _View:
    """A pinhole camera over a flat road: where each pixel lies on the ground.

    ``x_m`` and ``z_m`` are (H, W) metres to the right and ahead, ``cosine`` is that of the
    angle between the line of sight and the surface's normal, ``pixel_m`` the ground's length
    that a pixel covers.
    """

    def __init__(self, road: Mask, camera_height_m: float) -> None:
        height, width = road.shape
        self.rows, self.columns = _pixels(road.shape)
        self.focal_px = float(width)
        self.camera_height_m = camera_height_m
        road_top_px = float(np.quantile(self.rows[road], 0.002))
        self.horizon_px = max(road_top_px - 0.02 * height, 0.08 * height)
        below_px = np.maximum(self.rows - self.horizon_px, 0.5)
        z_m = self.focal_px * camera_height_m / below_px
        self.z_m = np.minimum(z_m, _FARTHEST_M).astype(np.float32)
        self.x_m = (self.columns - width / 2) * self.z_m / self.focal_px
        self.cosine = camera_height_m / np.hypot(self.z_m, camera_height_m)
        self.pixel_m = self.z_m**2 / (self.focal_px * camera_height_m)

    def project(self, place_m: tuple[float, float], over_m: float) -> tuple[float, float]:
        """Return the pixel (x, y) of the point ``over_m`` above the place (x, z)."""
        x_m, z_m = place_m
        scale = self.focal_px / z_m
        row = self.horizon_px + scale * (self.camera_height_m - over_m)
        return self.columns.shape[1] / 2 + scale * x_m, row


def _road_heights(
    road: Mask, view: _View, style: FloodStyle, rng: np.random.Generator
) -> Floats:
    """Return (H, W) height of the ground in metres: camber, dips and bumps, grain."""
    left = np.argmax(road, axis=1)[:, None]
    right = road.shape[1] - 1 - np.argmax(road[:, ::-1], axis=1)[:, None]
    from_middle = (2 * view.columns - left - right) / np.maximum(right - left, 1)
    bumps = sample_tile(
        tiled_noise(rng, _TILE_PX, roughness=1.8),
        view.x_m / _BUMPS_SIDE_M,
        view.z_m / _BUMPS_SIDE_M,
    )
    grain = sample_tile(
        tiled_noise(rng, _TILE_PX, roughness=1.2),
        view.x_m / _GRAIN_SIDE_M,
        view.z_m / _GRAIN_SIDE_M,
    )
    height_m = style.camber_m * (1 - from_middle.clip(-1, 1) ** 2)
    height_m += style.unevenness_m * (bumps + 0.08 * grain)
    return _floats(height_m)


def _pixels(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return each pixel's row and column, both (H, W)."""
    grid = np.indices(shape[:2], np.float32)
    return grid[0], grid[1]


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, np.float32)


def _fresnel(cosine: Floats) -> Floats:
    share = _NORMAL_REFLECTANCE + (1 - _NORMAL_REFLECTANCE) * (1 - cosine) ** 5
    return _floats(share)


def _ripple_tile(rng: np.random.Generator) -> Floats:
    """Return (2, S, S) slopes across and along, standard deviation 1, without a seam."""
    height = tiled_noise(rng, _TILE_PX, roughness=2.0)
    slopes = np.stack([height - np.roll(height, 2, axis) for axis in (1, 0)])
    return _floats(slopes / slopes.std())


def _mirrored(scene: Floats, road: Mask, view: _View) -> Floats:
    """Return the mirror image, (H, W, 3): what a flat surface would show at each pixel.

    What stands on the road is mirrored at its foot, the rest at the horizon. Towards the
    camera the latter is compressed, because the picture ends where the mirror still shows sky.
    """
    below = np.abs(view.rows - view.horizon_px)  # ripples may look past the horizon
    rows = view.horizon_px * np.exp(-below / view.horizon_px)
    inside = np.maximum.accumulate(road, axis=1)
    inside &= np.maximum.accumulate(road[:, ::-1], axis=1)[:, ::-1]
    foot = np.maximum.accumulate(np.where(inside & ~road, view.rows, -1.0), axis=0)
    at_foot = 2 * foot - view.rows
    above = at_foot.clip(0).astype(np.intp)
    stands = (foot >= 0) & (at_foot >= 0) & ~np.take_along_axis(road, above, axis=0)
    rows = np.where(stands, at_foot, rows).astype(np.float32)
    mirrored = cv2.remap(scene, view.columns, rows, cv2.INTER_LINEAR)
    return _floats(cv2.blur(mirrored, (1, 5)))


def _smeared(mirror: Floats) -> Floats:
    """Return the mirror image as the tilted grains of a wet road show it: long smears."""
    height, width = mirror.shape[:2]
    size = (width // 60 | 1, height // 6 | 1)
    return _floats(cv2.blur(cv2.blur(mirror, size), size))


def _shifted(image: Floats, right_px: Floats, down_px: Floats) -> Floats:
    rows, columns = _pixels(image.shape)
    moved = cv2.remap(
        image,
        columns + right_px,
        rows + down_px,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return _floats(moved)


def _nightfall(scene: Floats, view: _View, night: float, rng: np.random.Generator) -> None:
    """Darken ``scene`` in place; the sky goes out, the rest is left in the lamps' colour."""
    lamps = np.array((1.0, 0.8, 0.55) if rng.random() < 0.5 else (0.8, 0.9, 1.0), np.float32)  # noqa: PLR2004 - sodium or LED
    brightness = cv2.GaussianBlur(scene.mean(axis=2), (0, 0), 2.0)
    is_sky = ((brightness - 0.3) / 0.2).clip(0, 1) * (view.rows < view.horizon_px)
    left_over = (0.13 * (1 - is_sky) + 0.012 * is_sky)[..., None] * lamps
    scene *= 1 - night * (1 - left_over)


def _headlights(
    road: Mask, view: _View, cars: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return where distant cars have their lamps, (x, z) in metres, two for each car."""
    lamps = []
    for _ in range(cars):
        z_m = float(rng.uniform(4.0, 12.0)) * view.camera_height_m
        row = min(int(view.project((0.0, z_m), 0.0)[1]), road.shape[0] - 1)
        columns = np.flatnonzero(road[row])
        if columns.size:
            x_m = float(view.x_m[row, rng.choice(columns)])
            lamps += [(x_m - _LAMP_SPACING_M / 2, z_m), (x_m + _LAMP_SPACING_M / 2, z_m)]
    return lamps


def _add_glow(
    light: Floats, centre: tuple[float, float], width_px: float, height_px: float
) -> None:
    """Add a lamp and its halo to ``light``; both are Gaussian."""
    rows, columns = _pixels(light.shape)
    distance = ((columns - centre[0]) / width_px) ** 2 + ((rows - centre[1]) / height_px) ** 2
    lamp = 2.0 * np.exp(-distance / 2) + 0.12 * np.exp(-distance / 60)
    light += lamp[..., None] * np.array(_LAMP_RGB, np.float32)


def _rain_streaks(shape: tuple[int, ...], rain: float, rng: np.random.Generator) -> Floats:
    """Return (2H, 2W) display values: faint, nearly vertical lines."""
    height, width = 2 * shape[0], 2 * shape[1]
    streaks = np.zeros((height, width), np.uint8)
    for _ in range(int(rain * height * width / 800)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        length_px = int(rng.uniform(0.01, 0.05) * height)
        end = (x + int(rng.uniform(0.0, 0.15) * length_px), y + length_px)
        cv2.line(streaks, (x, y), end, int(rng.uniform(6, 32)), 1, cv2.LINE_AA)
    return _floats(cv2.blur(streaks.astype(np.float32), (1, 3)))
