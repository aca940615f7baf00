"""How far clicks and boxes reach."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_train.cut import cut
from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.hints import DRY_POINT, IN_BOX, WATER_POINT, hint_map
from lsm_train.weak_labels import WeakLabel

POINTS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4).map(tuple)


def street(height: int = 120, width: int = 160) -> npt.NDArray[np.uint8]:
    """Return a grey road with a brown pond in its lower left quarter."""
    image = np.random.default_rng(0).integers(100, 120, (height, width, 3), np.uint8)
    image[height // 2 :, : width // 2] //= np.array([1, 2, 3], np.uint8)
    return image


def test_clicks_reach_as_far_as_the_colour_of_what_was_clicked_on() -> None:
    pond, road = (0.25, 0.75), (0.75, 0.4)
    hints = hint_map(WeakLabel("points", water_points=(pond,), dry_points=(road,)), (120, 160))
    spread = cut(street(), hints, box_fill=0.3)
    water = np.zeros((120, 160), np.bool_)
    water[60:, :80] = True
    assert ((spread == WATER) & ~water).sum() == 0
    assert ((spread == DRY) & water).sum() == 0
    assert ((spread == WATER) & water).sum() > 0.8 * water.sum()
    assert ((spread == DRY) & ~water).sum() > 0.6 * (~water).sum()


def test_one_kind_of_clicks_says_nothing_about_the_rest() -> None:
    hints = hint_map(WeakLabel("points", water_points=((0.2, 0.8),)), (120, 160))
    assert (cut(street(), hints, box_fill=0.3) == hints).all()


def test_clicks_on_the_same_spot_say_nothing_about_the_rest() -> None:
    hints = np.full((1200, 1600), IGNORED, np.uint8)
    hints[600, 800:802] = WATER_POINT, DRY_POINT
    assert (cut(street(1200, 1600), hints, box_fill=0.3) == hints).all()


def test_a_box_is_cut_where_the_colour_changes_and_nothing_is_known_of_what_was_cut() -> None:
    box = (0.0, 0.4, 0.6, 1.0)
    spread = cut(street(), hint_map(WeakLabel("boxes", boxes=(box,)), (120, 160)), box_fill=0.3)
    water = np.zeros((120, 160), np.bool_)
    water[60:, :80] = True
    assert (spread[water] == WATER).mean() > 0.95
    assert (spread[48:, :96][~water[48:, :96]] == IGNORED).mean() > 0.95
    assert (spread[:46] == DRY).all()
    assert (spread[:, 98:] == DRY).all()


def test_a_box_round_all_of_the_picture_is_left_to_the_teacher() -> None:
    hints = hint_map(WeakLabel("boxes", boxes=((0.0, 0.0, 1.0, 1.0),)), (120, 160))
    assert (cut(street(), hints, box_fill=0.3) == IN_BOX).all()


def test_a_click_in_a_box_is_on_the_side_that_it_names() -> None:
    image, box = street(), (0.1, 0.1, 0.9, 0.9)
    water = np.zeros((120, 160), np.bool_)
    water[50:62, 70:82] = True
    image[water] //= np.array([1, 2, 3], np.uint8)
    label = WeakLabel("boxes", boxes=(box,), water_points=((0.475, 0.466),))
    spread = cut(image, hint_map(label, (120, 160)), box_fill=0.3)
    assert np.isin(spread[water], (WATER, WATER_POINT)).mean() > 0.9


def test_clicks_reach_as_far_in_a_picture_that_is_said_to_show_water() -> None:
    pond, road = ((0.25, 0.75),), ((0.75, 0.4),)
    alone, with_verdict = (
        cut(street(), hint_map(label, (120, 160)), box_fill=0.3)
        for label in (
            WeakLabel("points", water_points=pond, dry_points=road),
            WeakLabel("points", water_points=pond, dry_points=road, is_wet=True),
        )
    )
    assert (alone == with_verdict).all()


def test_a_box_of_which_too_little_is_left_stays_a_box() -> None:
    grey = np.random.default_rng(0).integers(100, 120, (120, 160, 3), np.uint8)
    red_car = np.s_[70:80, 40:50]
    grey[red_car] = 200, 20, 20
    hints = hint_map(WeakLabel("boxes", boxes=((0.1, 0.5, 0.6, 0.9),)), (120, 160))
    assert (cut(grey, hints, box_fill=0.3) == hints).all()
    assert (cut(grey, hints, box_fill=0.01)[red_car] == WATER).all()


@settings(deadline=None, max_examples=40)
@given(water=POINTS, dry=POINTS, size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
def test_what_was_said_stays_said_and_the_same_clicks_reach_the_same(
    water: tuple[tuple[float, float], ...],
    dry: tuple[tuple[float, float], ...],
    size: tuple[int, int],
) -> None:
    hints = hint_map(WeakLabel("points", water_points=water, dry_points=dry), size)
    hints[: size[0] // 4, : size[1] // 4] = DRY
    spread = cut(street(*size), hints, box_fill=0.3)
    assert (spread[hints != IGNORED] == hints[hints != IGNORED]).all()
    assert set(np.unique(spread)) <= set(np.unique(hints)) | {WATER, DRY}
    assert (cut(street(*size), hints, box_fill=0.3) == spread).all()
