from __future__ import annotations

import numpy as np

from lsm_monitor.evidence.survey_overlay import Drawing, draw_survey

GREY = np.full((300, 400, 3), 100, np.uint8)
RED, GREEN = (255, 60, 60), (60, 255, 120)


def test_marks_are_where_they_were_measured_with_their_height_beside_them() -> None:
    result = draw_survey(GREY, [Drawing(((0.5, 0.5),), ("15 cm",))])
    assert tuple(result[150, 200]) == RED
    assert (result[120:150, 205:300] != 100).any()
    assert (result[:, 300:] == 100).all()
    assert (result[160:] == 100).all()
    np.testing.assert_array_equal(GREY, 100)


def test_a_line_is_joined_and_the_ground_points_are_closed() -> None:
    line = draw_survey(GREY, [Drawing(((0.1, 0.1), (0.9, 0.1)), ())])
    assert (line[30, 50:350] == RED).all()
    corners = ((0.2, 0.9), (0.8, 0.9), (0.8, 0.4), (0.2, 0.4))
    ground = draw_survey(GREY, [Drawing(corners, ("1", "2", "3", "4"), is_ground=True)])
    assert (ground[150:260, 80] == GREEN).all()  # from the fourth back to the first
