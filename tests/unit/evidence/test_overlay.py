from __future__ import annotations

import numpy as np

from lsm_monitor.evidence.overlay import draw_overlay

GREY = np.full((60, 80, 3), 100, np.uint8)


def test_only_water_is_tinted_whatever_the_size_of_the_mask() -> None:
    water = np.zeros((6, 8), np.bool_)
    water[3:] = True
    result = draw_overlay(GREY, water=water)
    assert (result[:28] == 100).all()
    assert (result[35:55, 5:75, 2] > 150).all()  # blue


def test_the_picture_itself_is_not_written_to() -> None:
    image = GREY.copy()
    draw_overlay(image, water=np.ones((6, 8), np.bool_), zones=[[(0, 0), (1, 0), (1, 1)]])
    np.testing.assert_array_equal(image, GREY)


def test_a_zone_is_outlined_and_not_filled() -> None:
    square = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    result = draw_overlay(GREY, zones=[square])
    assert tuple(result[15, 40]) == (255, 220, 0)
    assert tuple(result[30, 40]) == (100, 100, 100)
