from __future__ import annotations

import functools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.demo.scene import StreetScene, road_zone
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_train.flood_style import FloodStyle, random_flood_style
from lsm_train.flooding import Flooding, flood
from lsm_train.layouts import ImageArray, Mask

CLEAN = FloodStyle(seed=1)


@functools.cache
def street() -> tuple[ImageArray, Mask]:
    """A rendered dry street and its road."""
    style = SceneStyle(width_px=160, height_px=96, rain=0.0, cars_per_minute=0.0)
    image, _ = StreetScene(style).render(0.0, 0.0)
    corners = (np.array(road_zone(style)) * (160, 96)).astype(np.int32)
    return image, cv2.fillPoly(np.zeros((96, 160), np.uint8), [corners], 1) > 0


levels = st.floats(0.0, 1.0)
styles = st.integers(0, 2**32).map(lambda seed: random_flood_style(np.random.default_rng(seed)))


@settings(max_examples=25, deadline=None)
@given(styles, levels, levels)
def test_rising_water_only_grows_and_stays_on_the_road(
    style: FloodStyle, one: float, other: float
) -> None:
    image, road = street()
    flooding = Flooding(image, road, style)
    _, less = flooding.render(min(one, other))
    _, more = flooding.render(max(one, other))
    assert not (less & ~more).any()
    assert not (more & ~road).any()


@settings(max_examples=10, deadline=None)
@given(styles)
def test_level_zero_has_no_water_and_level_one_covers_the_road(style: FloodStyle) -> None:
    image, road = street()
    flooding = Flooding(image, road, style)
    assert not flooding.render(0.0)[1].any()
    np.testing.assert_array_equal(flooding.render(1.0)[1], road)


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_the_level_is_about_the_share_of_the_road(level: float) -> None:
    image, road = street()
    _, mask = flood(image, road, level, CLEAN)
    assert mask.sum() / road.sum() == pytest.approx(level, abs=0.15)


@settings(max_examples=10, deadline=None)
@given(styles, levels)
def test_the_same_style_gives_the_same_picture(style: FloodStyle, level: float) -> None:
    image, road = street()
    first, second = (flood(image, road, level, style, t_s=3.0) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_a_dry_style_at_level_zero_leaves_the_photograph_as_it_is() -> None:
    image, road = street()
    picture, _ = flood(image, road, 0.0, CLEAN)
    assert np.abs(picture.astype(int) - image).max() <= 1


def test_nothing_changes_beside_the_road_without_rain_or_night() -> None:
    image, road = street()
    picture, _ = flood(image, road, 0.8, CLEAN)
    beside = cv2.dilate(road.astype(np.uint8), np.ones((9, 9))) == 0
    assert np.abs(picture[beside].astype(int) - image[beside]).max() <= 1


def test_time_moves_the_ripples_but_not_the_shore() -> None:
    image, road = street()
    flooding = Flooding(image, road, CLEAN)
    early, early_mask = flooding.render(0.6, t_s=0.0)
    late, late_mask = flooding.render(0.6, t_s=0.5)
    np.testing.assert_array_equal(early_mask, late_mask)
    assert (early != late)[early_mask].any()


def test_deep_muddy_water_hides_the_ground_that_clear_water_shows() -> None:
    image, road = street()
    marked = image.copy()
    marked[70:, ::4] = 255  # lane marks
    muddy = FloodStyle(seed=1, clarity_m=0.005, waves=0.0)
    clear = FloodStyle(seed=1, clarity_m=1.0, waves=0.0)
    contrast = {}
    for style in (muddy, clear):
        picture, _ = flood(marked, road, 1.0, style)
        lower = picture[80:, 60:100].mean(2)
        contrast[style] = np.abs(lower[:, ::4] - lower[:, 2::4]).mean()
    assert contrast[clear] > 5 * contrast[muddy]


def test_the_far_water_mirrors_the_sky_more_than_the_near_water() -> None:
    _, road = street()
    image = np.full((96, 160, 3), 40, np.uint8)
    image[:30] = 250
    road = np.zeros((96, 160), np.bool_)
    road[32:] = True
    picture, _ = flood(image, road, 1.0, FloodStyle(seed=1, waves=0.0))
    assert picture[34].mean() > picture[60].mean() > picture[94].mean()


def test_what_stands_on_the_road_is_mirrored_at_its_foot() -> None:
    image = np.full((96, 160, 3), 120, np.uint8)
    road = np.zeros((96, 160), np.bool_)
    road[30:] = True
    image[20:50, 70:90] = (255, 0, 0)  # a red post
    road[20:50, 70:90] = False
    picture, mask = flood(image, road, 1.0, FloodStyle(seed=1, waves=0.0, camera_height_m=1.2))
    redness = picture[..., 0].astype(int) - picture[..., 1]
    assert mask[52:60, 75:85].all()
    assert redness[52:60, 75:85].min() > redness[52:60, 20:60].max() + 20


def test_a_wet_road_is_darker_near_the_camera_but_keeps_its_marks_and_has_no_water() -> None:
    image, road = street()
    marked = image.copy()
    marked[80:, ::8] = 255
    picture, mask = flood(marked, road, 0.0, FloodStyle(seed=1, wetness=1.0))
    assert not mask.any()
    near = np.s_[80:, 60:110]
    assert picture[near].mean() < marked[near].mean() - 10
    assert picture[80:, 64].mean() > picture[80:, 60].mean() + 30


def test_the_ground_just_above_the_water_is_darker_but_still_dry_in_the_mask() -> None:
    image, road = street()
    flooding = Flooding(image, road, CLEAN)
    picture, mask = flooding.render(0.5)
    depth_m = flooding.depth_m(0.5)
    fringe = road & (depth_m < 0) & (depth_m > -0.003)
    dry = road & (depth_m < -0.03)
    assert not mask[fringe].any()
    darker = picture.mean(2) / image.mean(2)
    assert np.median(darker[fringe]) < 0.9 * np.median(darker[dry])


def test_night_darkens_the_scene_and_headlights_shine_on_the_water() -> None:
    image, road = street()
    dark, _ = flood(image, road, 0.9, FloodStyle(seed=3, night=1.0))
    lit, mask = flood(image, road, 0.9, FloodStyle(seed=3, night=1.0, headlights=2))
    assert dark.mean() < 0.5 * image.mean()
    assert (lit.astype(int) - dark)[mask].max() > 100


def test_headlights_shine_on_a_dry_road_too() -> None:
    image, road = street()
    dark, _ = flood(image, road, 0.0, FloodStyle(seed=3, night=1.0))
    lit, _ = flood(image, road, 0.0, FloodStyle(seed=3, night=1.0, headlights=2))
    assert (lit.astype(int) - dark).max() > 150


def test_rain_puts_streaks_into_the_air_and_rings_on_the_water() -> None:
    image, road = street()
    dry, mask = flood(image, road, 0.9, CLEAN)
    rainy, _ = flood(image, road, 0.9, FloodStyle(seed=1, rain=1.0))
    assert (rainy[:30].astype(int) - dry[:30]).max() > 5
    assert (rainy != dry)[mask].any()


@pytest.mark.parametrize(
    "road",
    [
        pytest.param(np.zeros((96, 160), np.bool_), id="empty"),
        pytest.param(np.ones((96, 100), np.bool_), id="other-size"),
    ],
)
def test_a_road_that_does_not_fit_is_refused(road: Mask) -> None:
    image, _ = street()
    with pytest.raises(ValueError, match=r"road must be \(96, 160\) and not empty"):
        Flooding(image, road, CLEAN)
