"""A rendered street that floods: the demo's camera, and a source of exact training masks.

    scene = StreetScene(SceneStyle())
    image, mask = scene.render(water_level=0.4, t_s=12.0)

The picture of a style, a water level and a time is always the same. What does not move is
painted once; a picture then takes about 20 ms of one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from shapely.geometry import Polygon, box

from lsm_monitor.demo.scene_ground import paint_ground
from lsm_monitor.demo.scene_light import light_of, view_of
from lsm_monitor.demo.scene_paint import Face, cast_shadow, paint_mesh
from lsm_monitor.demo.scene_street import paint_surroundings
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_traffic import (
    Actor,
    car_faces,
    cars_at,
    walker_faces,
    walkers_at,
)
from lsm_monitor.demo.scene_view import NEAR_M, Floats
from lsm_monitor.demo.scene_water import SHORE_M, Water
from lsm_monitor.demo.scene_weather import Weather

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

EPISODE_S = 60.0
# Time and level at the corners of the demo's episode; straight lines in between.
_EPISODE = (
    (0.0, 0.0),
    (8.0, 0.0),
    (16.0, 0.3),
    (26.0, 0.85),
    (30.0, 1.0),
    (38.0, 1.0),
    (52.0, 0.0),
    (EPISODE_S, 0.0),
)


def flood_script(t_s: float) -> float:
    """Return the water level of the demo's episode: dry, rising, high, falling, dry."""
    times, levels = zip(*_EPISODE, strict=True)
    return float(np.interp(t_s % EPISODE_S, times, levels))


def road_zone(style: SceneStyle, *, far_m: float = 45.0) -> tuple[tuple[float, float], ...]:
    """Return the outline of the road up to ``far_m``, as a zone of the configuration.

    Returns:
        Corners (x, y), from (0, 0), the picture's top left, to (1, 1).
    """
    view = view_of(style)
    half_m = style.road_width_m / 2
    kerbs_m = [(-half_m, 0.0, NEAR_M), (-half_m, 0.0, far_m)]
    kerbs_m += [(half_m, 0.0, far_m), (half_m, 0.0, NEAR_M)]
    corners = view.project(kerbs_m) / np.array((view.width_px, view.height_px), np.float32)
    seen = Polygon(corners).intersection(box(0, 0, 1, 1))
    assert isinstance(seen, Polygon)  # noqa: S101 - both are convex
    return tuple((round(x, 4), round(y, 4)) for x, y in seen.exterior.coords[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class SceneLayout:
    """What a picture of the street shows when no water stands; each (H, W) bool, disjoint.

    Attributes:
        road: Between the kerbs.
        pavement: All other ground.
        cars: Those that move.
        walkers: People.
    """

    road: Mask
    pavement: Mask
    cars: Mask
    walkers: Mask


class StreetScene:
    """One street, ready to be rendered. Not thread-safe."""

    def __init__(self, style: SceneStyle) -> None:
        rng = np.random.default_rng(style.seed)
        self._style = style
        self._view = view_of(style)
        self._light = light_of(style)
        ground = paint_ground(style, rng)
        around = paint_surroundings(style, rng)
        self._water = Water(style, ground, rng)
        self._weather = Weather(style, rng)
        self._mirror = around.mirror
        self._cover = around.cover
        self._is_road = ground.is_road
        self._horizon_px = view_of(style).horizon_px
        street = around.image
        top_px = self._water.top_px
        share = around.cover[top_px:, :, None]
        self._ground = self._weather.wet(ground, around.mirror)[top_px:]
        street[top_px:] = street[top_px:] * share + self._ground * (1 - share)
        self._street = street

    @property
    def is_wet(self) -> bool:
        """Whether it has rained: the road shines also where no water stands."""
        return self._style.rain > 0

    def layout(self, t_s: float) -> SceneLayout:
        """Return what :meth:`render` shows at this time, with houses and trees left over."""
        owner = np.zeros(self._cover.shape, np.uint8)
        for actor in self._actors(t_s):
            seen = np.zeros(owner.shape, np.float32)
            scratch = np.zeros_like(self._street)
            paint_mesh(scratch, seen, self._view, self._faces(actor))
            owner[seen >= 0.5] = 1 if actor.is_car else 2  # noqa: PLR2004 - half a pixel
        rows = np.indices(owner.shape)[0]
        ground = (owner == 0) & (self._cover < 0.5) & (rows > self._horizon_px)  # noqa: PLR2004
        return SceneLayout(
            road=ground & self._is_road,
            pavement=ground & ~self._is_road,
            cars=owner == 1,
            walkers=owner == 2,  # noqa: PLR2004
        )

    def depth_cm(self, water_level: float) -> float:
        """Return how deep the water is over the lowest point of the road; 0 when dry."""
        return 100 * max(0.0, self._water.greatest_depth_m(water_level))

    def render(self, water_level: float, t_s: float) -> tuple[Image, Mask]:
        """Return what the camera sees.

        Args:
            water_level: Share of the road in the picture that is under water, [0, 1].
            t_s: Time in seconds; moves cars, people, waves and rain.

        Returns:
            Picture, (H, W, 3) uint8 RGB, and where it shows water, (H, W) bool.
        """
        actors = self._actors(t_s)
        surface_m = self._water.surface_m(water_level) if water_level > 0 else -1.0
        image = self._street.copy()
        mask = np.zeros(image.shape[:2], np.bool_)
        if water_level > 0:
            mask = self._flood(image, actors, surface_m, water_level, t_s)
        hidden = np.zeros(mask.shape, np.float32)
        for actor in actors:
            if actor.is_car and water_level <= 0:
                cast_shadow(image, self._view, (actor.x_m, actor.z_m))
            paint_mesh(image, hidden, self._view, self._faces(actor), waterline_m=surface_m)
        mask &= hidden < 0.5  # noqa: PLR2004 - half a pixel
        return self._weather.develop(image, t_s), mask

    def _flood(
        self, image: Floats, actors: list[Actor], surface_m: float, level: float, t_s: float
    ) -> Mask:
        """Put water into ``image``; return where it is, as if nothing moved in front of it."""
        mirror = self._mirror.copy()
        for actor in actors:
            paint_mesh(
                mirror,
                np.zeros(mirror.shape[:2], np.float32),
                self._view,
                self._faces(actor),
                mirrored=True,
                waterline_m=surface_m,
            )
        top_px = self._water.top_px
        depth_m = self._water.depth_m(level)
        wet = self._water.render(self._ground, mirror, depth_m, t_s)
        for actor in actors:
            self._water.paint_wake(wet, depth_m, actor, t_s)
        share = (1 - self._cover[top_px:, :, None]) * (depth_m > 0)[..., None]
        image[top_px:] += (wet - image[top_px:]) * share
        mask = np.zeros(image.shape[:2], np.bool_)
        mask[top_px:] = (depth_m > SHORE_M) & (self._cover[top_px:] < 0.5)  # noqa: PLR2004
        return mask

    def _actors(self, t_s: float) -> list[Actor]:
        """Return everything that moves, the farthest first."""
        actors = [*cars_at(self._style, t_s), *walkers_at(self._style, t_s)]
        return sorted(actors, key=lambda actor: -actor.z_m)

    def _faces(self, actor: Actor) -> list[Face]:
        brightness = float(self._light.ambient.mean())
        is_gloomy = self._style.rain > 0 or self._light.lamps > 0
        if actor.is_car:
            return car_faces(actor, brightness, lamps=is_gloomy)
        return walker_faces(actor, brightness, umbrella=self._style.rain > 0)
