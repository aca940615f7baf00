"""What weak labels say about pixels, and what they make of a teacher's opinion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lsm_train.adapt_config import PseudoLabelsSection
from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.hints import (
    DRY_POINT,
    IN_BOX,
    SOMEWHERE,
    WATER_POINT,
    constrain,
    hint_map,
    pseudo_labels,
)
from lsm_train.weak_labels import WeakLabel

SETTINGS = PseudoLabelsSection(water_above=0.6, dry_below=0.4, box_fill=0.5, picture_fill=0.25)


def decide(probability: list[float], hints: list[int]) -> list[int]:
    """Labels of a picture of one row."""
    labels = pseudo_labels(
        torch.tensor([[probability]]), torch.tensor([[hints]], dtype=torch.uint8), SETTINGS
    )
    found: list[int] = labels[0, 0].tolist()
    return found


def test_without_a_hint_the_teacher_decides_where_it_is_sure() -> None:
    assert decide([0.9, 0.5, 0.1], [IGNORED] * 3) == [WATER, IGNORED, DRY]


def test_outside_of_boxes_and_painted_masks_nothing_is_water() -> None:
    assert decide([0.9, 0.9], [DRY, WATER]) == [DRY, WATER]
    assert decide([0.1, 0.1], [DRY, WATER]) == [DRY, WATER]


def test_a_box_in_which_the_teacher_sees_too_little_gets_its_most_probable_pixels() -> None:
    hints = [DRY, IN_BOX, IN_BOX, IN_BOX, IN_BOX]
    assert decide([0.3, 0.1, 0.35, 0.2, 0.3], hints) == [DRY, IGNORED, WATER, IGNORED, WATER]


def test_a_box_in_which_the_teacher_sees_enough_is_left_to_it() -> None:
    assert decide([0.9, 0.9, 0.1, 0.5], [IN_BOX] * 4) == [WATER, WATER, DRY, IGNORED]


def test_a_picture_said_to_show_water_has_some() -> None:
    assert decide([0.1, 0.3, 0.2, 0.1], [SOMEWHERE] * 4) == [IGNORED, WATER, IGNORED, IGNORED]


def test_a_click_on_dry_ground_takes_the_whole_piece_away() -> None:
    probability = [0.9, 0.9, 0.1, 0.9, 0.9]
    hints = [DRY_POINT, IGNORED, IGNORED, IGNORED, IGNORED]
    assert decide(probability, hints) == [DRY, DRY, DRY, WATER, WATER]


def test_a_click_on_water_saves_the_rest_of_a_piece_that_is_doubted() -> None:
    hints = [DRY_POINT, IGNORED, IGNORED, WATER_POINT]
    assert decide([0.9, 0.9, 0.9, 0.9], hints) == [DRY, WATER, WATER, WATER]


def test_a_click_on_water_vouches_for_a_faint_piece_but_not_for_all_of_the_picture() -> None:
    hints = [WATER_POINT, IGNORED, IGNORED, IGNORED]
    assert decide([0.5, 0.3, 0.1, 0.3], hints) == [WATER, WATER, DRY, DRY]


def test_a_teacher_that_overlooks_a_click_on_water_is_not_believed_about_dry_ground() -> None:
    hints = [WATER_POINT, IGNORED, IGNORED, DRY_POINT]
    assert decide([0.1, 0.1, 0.9, 0.1], hints) == [WATER, IGNORED, WATER, DRY]


def test_boxes_make_the_rest_dry_and_clicks_leave_the_rest_open() -> None:
    boxed = hint_map(WeakLabel("boxes", boxes=((0.5, 0.0, 1.0, 1.0),)), (4, 8))
    assert (boxed[:, :4] == DRY).all()
    assert (boxed[:, 4:] == IN_BOX).all()
    clicked = hint_map(WeakLabel("points", water_points=((0.1, 0.1),)), (100, 100))
    assert clicked[10, 10] == WATER_POINT
    assert clicked[50, 50] == IGNORED


@pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 1.0)])
def test_a_click_on_the_very_edge_is_in_the_picture(point: tuple[float, float]) -> None:
    clicked = hint_map(WeakLabel("points", water_points=(point,)), (30, 40))
    assert (clicked == WATER_POINT).any()


def test_a_painted_mask_is_open_along_its_outline_and_an_exact_one_is_not() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[50:] = True
    coarse = hint_map(WeakLabel("mask", mask=mask), (100, 100))
    assert [coarse[y, 50] for y in (30, 48, 52, 70, 99)] == [
        DRY,
        IGNORED,
        IGNORED,
        WATER,
        WATER,
    ]
    exact = hint_map(WeakLabel("mask", mask=mask, is_exact=True), (100, 100))
    assert np.array_equal(exact, mask.astype(np.uint8))


def test_the_prompt_is_corrected_where_a_hint_is_sure_and_nowhere_else() -> None:
    hints = torch.tensor([[[DRY, WATER_POINT, IN_BOX, IGNORED]]], dtype=torch.uint8)
    logits = torch.tensor([[[[9.0, -9.0, 1.0, 2.0]]]])
    assert constrain(logits, hints).flatten().tolist() == [-4.0, 4.0, 1.0, 2.0]
