from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import Polygon

from lsm_monitor.config.models import ZoneConfig
from lsm_monitor.demo.scene import EPISODE_S, StreetScene, flood_script, road_zone
from lsm_monitor.demo.scene_light import PAVEMENT_M, view_of
from lsm_monitor.demo.scene_style import SceneStyle, random_style

STYLE = SceneStyle(width_px=160, height_px=90, focal_px=115.0)

CALM = replace(STYLE, noise=0.0, cars_per_minute=0.0)

levels = st.floats(0.0, 1.0)
times = st.floats(0.0, 120.0)


@pytest.fixture(scope="module")
def scene() -> StreetScene:
    return StreetScene(STYLE)


@pytest.fixture(scope="module")
def calm() -> StreetScene:
    """The same street without traffic and camera noise."""
    return StreetScene(CALM)


few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@few
@given(one=levels, other=levels, t_s=times)
def test_water_only_spreads_when_it_rises(
    calm: StreetScene, one: float, other: float, t_s: float
) -> None:
    # Without traffic; and people and parked cars hide a little more where they stand deeper.
    _, less = calm.render(min(one, other), t_s)
    _, more = calm.render(max(one, other), t_s)
    assert (less & ~more).mean() <= 0.005


@few
@given(t_s=times)
def test_without_water_nothing_is_marked(scene: StreetScene, t_s: float) -> None:
    image, mask = scene.render(0.0, t_s)
    assert not mask.any()
    assert image.dtype == np.uint8
    assert image.shape == (90, 160, 3)


@few
@given(level=levels, t_s=times)
def test_a_picture_can_be_rendered_again(scene: StreetScene, level: float, t_s: float) -> None:
    first, first_mask = scene.render(level, t_s)
    again, again_mask = scene.render(level, t_s)
    assert np.array_equal(first, again)
    assert np.array_equal(first_mask, again_mask)


def test_the_same_style_is_the_same_street(scene: StreetScene) -> None:
    once_more, _ = StreetScene(STYLE).render(0.5, 3.0)
    assert np.array_equal(scene.render(0.5, 3.0)[0], once_more)


def test_the_level_is_the_share_of_the_road_under_water(calm: StreetScene) -> None:
    road = np.zeros((90, 160), np.uint8)
    corners = np.array(road_zone(CALM, far_m=100.0)) * (160, 90)
    cv2.fillPoly(road, [corners.astype(np.int32)], 1)
    levels = [0.1, 0.25, 0.5, 0.75, 1.0]
    shares = [calm.render(level, 0.0)[1][road > 0].mean() for level in levels]
    assert shares == pytest.approx(levels, abs=0.06)  # a tree hides a little


def test_water_changes_the_picture_where_the_mask_says_and_hardly_elsewhere(
    calm: StreetScene,
) -> None:
    dry, _ = calm.render(0.0, 5.0)
    wet, mask = calm.render(0.6, 5.0)
    change = np.abs(wet.astype(int) - dry.astype(int)).mean(axis=2)
    assert change[mask].mean() > 10 * change[~mask].mean()


def test_a_car_in_front_of_the_water_is_no_water(scene: StreetScene, calm: StreetScene) -> None:
    _, with_cars = scene.render(1.0, 14.0)
    _, without = calm.render(1.0, 14.0)
    assert not (with_cars & ~without).any()
    assert (without & ~with_cars).sum() > 30


@pytest.mark.parametrize("seed", [502, 10_004])
def test_no_water_stands_behind_the_houses_or_shows_over_their_roofs(seed: int) -> None:
    style = random_style(seed, width_px=160, height_px=90)
    _, water = StreetScene(style).render(1.0, 0.0)
    x_m, _, _ = view_of(style).ground()
    beside_m = np.abs(x_m) - style.road_width_m / 2 - PAVEMENT_M
    assert water.any()
    assert not water[beside_m > 5.0].any()


def test_waves_move_the_picture_but_not_the_shore(calm: StreetScene) -> None:
    before, mask = calm.render(0.7, 10.0)
    after, later_mask = calm.render(0.7, 10.5)
    assert (mask ^ later_mask).mean() < 0.01  # the walkers
    assert np.abs(before.astype(int) - after.astype(int))[mask].mean() > 2


@pytest.mark.parametrize("seed", range(4))
def test_random_styles_make_usable_pictures(seed: int) -> None:
    style = random_style(seed, width_px=160, height_px=90)
    image, mask = StreetScene(style).render(0.8, 4.0)
    assert mask.any()
    assert image.std() > 4


def test_random_styles_repeat_for_a_seed_and_differ_between_seeds() -> None:
    assert random_style(3) == random_style(3)
    assert len({random_style(seed) for seed in range(20)}) == 20


def test_the_episode_is_dry_then_rises_stays_and_falls() -> None:
    every_second = [flood_script(float(t_s)) for t_s in range(round(EPISODE_S))]
    assert set(every_second[:9]) == {0.0}
    assert set(every_second[30:39]) == {1.0}
    assert every_second[8:31] == sorted(every_second[8:31])
    assert every_second[38:53] == sorted(every_second[38:53], reverse=True)
    assert set(every_second[52:]) == {0.0}
    assert flood_script(EPISODE_S + 20.0) == flood_script(20.0)


@pytest.mark.parametrize("style", [SceneStyle(), *map(random_style, range(12))])
def test_the_road_is_a_valid_zone_of_the_configuration(style: SceneStyle) -> None:
    zone = ZoneConfig(points=road_zone(style))
    assert Polygon(zone.points).area > 0.02


def test_the_layout_parts_the_picture_and_holds_the_water(scene: StreetScene) -> None:
    layout = scene.layout(12.0)
    parts = [layout.road, layout.pavement, layout.cars, layout.walkers]
    assert (np.sum(parts, axis=0) <= 1).all()
    assert layout.road.mean() > 0.05
    _, water = scene.render(0.5, 12.0)
    assert water.any()
    assert (water & (layout.road | layout.pavement)).sum() > 0.97 * water.sum()


def test_only_traffic_is_in_the_layout_of_a_busy_street_alone(
    scene: StreetScene, calm: StreetScene
) -> None:
    times = range(0, 60, 6)
    assert any(scene.layout(t_s).cars.any() for t_s in times)
    assert not any(calm.layout(t_s).cars.any() for t_s in times)
