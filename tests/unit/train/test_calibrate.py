"""What counts as water: the rule, and how a bundle comes by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lsm_monitor.model.postprocess import WaterRule
from lsm_train.calibrate import calibrate
from lsm_train.data import IGNORED, Picture
from lsm_train.errors import DataError
from tests.unit.train.fakes import BlueIsWater, striped_picture

Probabilities = npt.NDArray[np.float32]

pictures = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.floats(0, 1, width=32),
)
shares = st.floats(0.0, 1.0)
thresholds = st.floats(0.01, 0.99)


@given(pictures, thresholds, thresholds, shares)
def test_the_rule_never_adds_water(
    picture: Probabilities, threshold: float, core_threshold: float, share: float
) -> None:
    kept = WaterRule(threshold, core_threshold, share).apply(picture)
    assert kept.shape == picture.shape
    assert kept.dtype == np.float32
    assert ((kept == picture) | (kept == 0.0)).all()


@given(pictures, thresholds, thresholds)
def test_a_rule_that_asks_for_no_core_changes_nothing(
    picture: Probabilities, threshold: float, core_threshold: float
) -> None:
    kept = WaterRule(threshold, core_threshold, 0.0).apply(picture)
    np.testing.assert_array_equal(kept, picture)


@given(pictures, thresholds, shares)
def test_pieces_that_are_core_throughout_survive_whole(
    picture: Probabilities, threshold: float, share: float
) -> None:
    kept = WaterRule(threshold, threshold, share).apply(picture)
    np.testing.assert_array_equal(kept, picture)


@given(pictures, thresholds, thresholds, shares)
def test_what_is_no_water_stays_as_it_is_and_a_piece_lives_or_dies_as_a_whole(
    picture: Probabilities, threshold: float, core_threshold: float, share: float
) -> None:
    rule = WaterRule(threshold, core_threshold, share)
    kept = rule.apply(picture)
    dry = picture < threshold
    np.testing.assert_array_equal(kept[dry], picture[dry])
    np.testing.assert_array_equal(rule.apply(kept), kept)


def test_a_piece_with_a_core_survives_whole_and_one_without_goes() -> None:
    picture = np.zeros((4, 9), np.float32)
    picture[:, :4] = 0.6
    picture[1, :4] = 0.95  # a quarter of the left piece is sure of itself
    picture[:, 5:] = 0.6
    picture[1, 5:7] = 0.95  # an eighth of the right one
    kept = WaterRule(threshold=0.5, core_threshold=0.9, core_share=0.2).apply(picture)
    np.testing.assert_array_equal(kept[:, :4], picture[:, :4])
    assert not kept[:, 5:].any()


def wet_road_beside_water() -> Picture:
    """Water is clear blue (probability 0.98), the wet road half-blue (0.73)."""
    picture = striped_picture("p", 32, 32)
    picture.image[48:, :, 2] = 159
    return picture


def test_calibration_takes_the_highest_threshold_of_the_plateau() -> None:
    # Every threshold between the two is perfect; 0.9 is the highest that is tried.
    assert calibrate(BlueIsWater(), [wet_road_beside_water()]).threshold == 0.9


def test_calibration_stops_before_the_first_threshold_that_loses_water() -> None:
    # Water at 0.73: from 0.75 on it is lost.
    picture = striped_picture("p", 64, 64, blue=159)
    assert calibrate(BlueIsWater(), [picture]).threshold == 0.725


def test_the_demand_for_a_core_is_the_strictest_that_costs_nothing() -> None:
    rule = calibrate(BlueIsWater(), [wet_road_beside_water()])
    assert rule.core_threshold == 0.975  # the highest that is tried; water has 0.98
    assert rule.core_share == 0.1


def test_without_a_stricter_core_that_costs_nothing_the_rule_has_none() -> None:
    picture = striped_picture("p", 64, 64, blue=143)  # probability 0.62
    rule = calibrate(BlueIsWater(), [picture])
    assert rule.threshold == 0.6
    assert rule.core_threshold == pytest.approx(rule.threshold)


def test_dry_pictures_alone_cannot_tell_what_counts_as_water() -> None:
    with pytest.raises(DataError, match="no val picture shows water"):
        calibrate(BlueIsWater(), [striped_picture("dry", 16, 0)])


def test_it_is_said_when_the_model_finds_no_water_at_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calibrate(BlueIsWater(), [wet_road_beside_water()])
    assert not caplog.messages
    calibrate(BlueIsWater(), [striped_picture("p", 0, 32)])
    assert "finds no water in any val picture" in caplog.text


def test_what_is_found_where_nobody_has_looked_changes_nothing() -> None:
    known = striped_picture("p", 32, 32)
    known.labels[48:] = IGNORED
    found_there = replace(known, image=known.image.copy())
    found_there.image[48:, :, 2] = 159  # probability 0.73
    assert calibrate(BlueIsWater(), [found_there]) == calibrate(BlueIsWater(), [known])


def test_data_sets_count_alike_however_many_pictures_they_have() -> None:
    # Ten pictures call for 0.9; the one of another camera loses its water from 0.75 on.
    street = [replace(wet_road_beside_water(), dataset="street") for _ in range(10)]
    mast = replace(striped_picture("p", 64, 64, blue=159), dataset="mast")
    assert calibrate(BlueIsWater(), street).threshold == 0.9
    assert calibrate(BlueIsWater(), [*street, mast]).threshold == 0.725
