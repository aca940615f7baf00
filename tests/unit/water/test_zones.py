from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lsm_monitor.geometry import Ground
from lsm_monitor.types import DepthInterval, WaterMask, ZoneId
from lsm_monitor.water.gauges import Gauge, Mark
from lsm_monitor.water.zones import WHOLE_PICTURE, Zone, ZoneReader, rasterise, zones_of
from tests.unit.water.scenes import stamp_at

unit = st.floats(0.0, 1.0)
mask_hw = st.tuples(st.integers(1, 40), st.integers(1, 40))
corners = st.lists(st.tuples(unit, unit), min_size=3, max_size=8).map(tuple)
probabilities = hnp.arrays(np.float32, (6, 8), elements=st.floats(0.0, 1.0, width=32))
LEFT = Zone(ZoneId("left"), ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))


def mask_of(probability: npt.NDArray[np.float32], threshold: float = 0.5) -> WaterMask:
    return WaterMask(stamp_at(0.0), probability, threshold, 1.0)


@given(hw=mask_hw)
def test_the_whole_picture_is_every_pixel_at_any_size(hw: tuple[int, int]) -> None:
    assert rasterise(WHOLE_PICTURE, hw).all()


@given(corners=corners, hw=mask_hw)
def test_every_zone_has_a_pixel_however_thin_it_is(
    corners: tuple[tuple[float, float], ...], hw: tuple[int, int]
) -> None:
    raster = rasterise(Zone(ZoneId("any"), corners), hw)
    assert raster.shape == hw
    assert raster.any()


@given(x0=unit, y0=unit, x1=unit, y1=unit)
def test_a_rectangle_has_its_area_in_pixels_but_for_the_outline(
    x0: float, y0: float, x1: float, y1: float
) -> None:
    zone = Zone(ZoneId("box"), ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
    width, height = abs(x1 - x0) * 100, abs(y1 - y0) * 100
    pixels = np.count_nonzero(rasterise(zone, (100, 100)))
    assert abs(pixels - width * height) <= 2 * (width + height) + 4


def test_a_zone_covers_the_same_part_of_the_street_at_every_resolution() -> None:
    reader = ZoneReader([LEFT])
    for hw in ((90, 160), (360, 640)):
        probability = np.zeros(hw, np.float32)
        probability[:, : hw[1] // 4] = 1.0
        mask = mask_of(probability)
        assert reader.read(mask, probability)[0].water_fraction == pytest.approx(0.5, abs=0.01)


@given(probability=probabilities, threshold=st.floats(0.01, 0.99), other=probabilities)
def test_fractions_and_confidence_keep_their_ranges_and_ignore_what_is_outside_the_zone(
    probability: npt.NDArray[np.float32],
    threshold: float,
    other: npt.NDArray[np.float32],
) -> None:
    inside = rasterise(LEFT, (6, 8))
    (reading,) = ZoneReader([LEFT]).read(mask_of(probability, threshold), other)
    changed = np.where(inside, probability, np.float32(1.0) - probability)
    (again,) = ZoneReader([LEFT]).read(mask_of(changed, threshold), other)
    assert reading == again
    assert 0.0 <= reading.instant_fraction <= 1.0
    assert 0.0 <= reading.water_fraction <= 1.0
    assert 0.5 <= reading.confidence <= 1.0


@given(probability=probabilities, threshold=st.floats(0.01, 0.99), data=st.data())
def test_more_water_never_lowers_the_fraction(
    probability: npt.NDArray[np.float32], threshold: float, data: st.DataObject
) -> None:
    more = np.maximum(probability, data.draw(probabilities))
    reader = ZoneReader([WHOLE_PICTURE])
    (less_water,) = reader.read(mask_of(probability, threshold), probability)
    (more_water,) = reader.read(mask_of(more, threshold), more)
    assert less_water.instant_fraction <= more_water.instant_fraction
    assert less_water.water_fraction <= more_water.water_fraction


@pytest.mark.parametrize(
    ("probability", "fraction", "confidence"),
    [
        pytest.param(0.0, 0.0, 1.0, id="surely-dry"),
        pytest.param(0.25, 0.0, 0.75, id="rather-dry"),
        pytest.param(0.5, 1.0, 0.5, id="at-the-threshold-is-water"),
        pytest.param(1.0, 1.0, 1.0, id="surely-water"),
    ],
)
def test_a_flat_mask_reads_as_expected(
    probability: float, fraction: float, confidence: float
) -> None:
    flat = np.full((4, 4), probability, np.float32)
    (reading,) = ZoneReader([WHOLE_PICTURE]).read(mask_of(flat), flat)
    assert (reading.instant_fraction, reading.water_fraction) == (fraction, fraction)
    assert reading.confidence == pytest.approx(confidence)


def test_the_smoothed_mask_gives_the_water_fraction_and_the_raw_one_the_rest() -> None:
    raw, smoothed = np.full((2, 2), 0.9, np.float32), np.full((2, 2), 0.1, np.float32)
    smoothed[0] = 1.0
    (reading,) = ZoneReader([WHOLE_PICTURE]).read(mask_of(raw), smoothed)
    assert (reading.instant_fraction, reading.water_fraction) == (1.0, 0.5)


def test_a_frame_that_contradicts_those_before_it_is_worth_less() -> None:
    raw, belief = np.full((2, 2), 0.9, np.float32), np.full((2, 2), 1.0, np.float32)
    (agreeing,) = ZoneReader([WHOLE_PICTURE]).read(mask_of(raw), belief)
    belief[0] = 0.0
    (halfway,) = ZoneReader([WHOLE_PICTURE]).read(mask_of(raw), belief)
    assert agreeing.confidence == pytest.approx(0.9)
    assert halfway.confidence == pytest.approx(0.7)


def test_a_gauge_is_read_in_its_own_zone_and_lowers_its_confidence_when_it_is_at_odds() -> None:
    marks = (Mark(((0.2, 0.1),), 5.0), Mark(((0.2, 0.9),), 15.0))
    right = Zone(ZoneId("right"), ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    reader = ZoneReader([LEFT, right], gauges=[Gauge("kerb", LEFT.zone_id, marks)])
    raw = np.zeros((40, 40), np.float32)
    raw[20:] = 1.0  # the higher mark is under water, the lower one is dry
    left, other = reader.read(mask_of(raw), raw)
    assert left.depth is None
    assert (left.confidence, other.confidence) == (0.75, 1.0)
    raw = 1 - raw
    left, other = reader.read(mask_of(raw), raw)
    assert left.depth == DepthInterval(5.0, 15.0, "gauge:kerb")
    assert other.depth is None


def test_area_is_that_of_the_smoothed_water_within_the_zone() -> None:
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    ground = Ground(corners, [(10 * x, 20 * y) for x, y in corners])  # seen from above
    raw, belief = np.zeros((40, 40), np.float32), np.ones((40, 40), np.float32)
    (reading,) = ZoneReader([LEFT], ground=ground).read(mask_of(raw), belief)
    # 20 of 40 columns, and the one that the outline touches.
    assert reading.area_m2 == pytest.approx(200.0 * 21 / 40 if reading.area_m2 else 0, rel=0.03)


def test_a_smoothed_mask_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"must be \(4, 4\)"):
        ZoneReader([WHOLE_PICTURE]).read(
            mask_of(np.zeros((4, 4), np.float32)), np.zeros((2, 2), np.float32)
        )


def test_a_camera_without_zones_is_judged_as_a_whole() -> None:
    assert zones_of({}) == (WHOLE_PICTURE,)
    assert zones_of({"left": LEFT.corners}) == (LEFT,)


def test_a_zones_water_may_be_a_share_of_the_road_in_it() -> None:
    probability = np.zeros((10, 20), np.float32)
    probability[8:] = 1.0  # 2 of 10 rows
    road = np.zeros((10, 20), np.bool_)
    road[6:9] = True  # rows 6 to 8; with the water, rows 6 to 9 are road
    mask = replace(mask_of(probability), road=road)
    (of_zone,) = ZoneReader([LEFT]).read(mask, probability)
    (of_road,) = ZoneReader([replace(LEFT, of_road=True)]).read(mask, probability)
    assert of_zone.water_fraction == of_zone.instant_fraction == pytest.approx(0.2)
    assert of_road.water_fraction == of_road.instant_fraction == pytest.approx(0.5)
    assert of_road.confidence == of_zone.confidence


def test_a_mask_without_roads_leaves_the_share_that_of_the_zone() -> None:
    probability = np.eye(10, dtype=np.float32)
    readings = [
        ZoneReader([replace(WHOLE_PICTURE, of_road=of_road)]).read(
            mask_of(probability), probability
        )
        for of_road in (False, True)
    ]
    assert readings[0] == readings[1]


def test_a_puddle_is_not_all_of_a_road_that_the_model_does_not_see() -> None:
    probability = np.zeros((10, 10), np.float32)
    probability[0, :5] = 1.0  # 5 of 100 pixels
    mask = replace(mask_of(probability), road=np.zeros((10, 10), np.bool_))
    (reading,) = ZoneReader([replace(WHOLE_PICTURE, of_road=True)]).read(mask, probability)
    assert reading.water_fraction == pytest.approx(0.2)  # four times its share of the zone


@given(probability=probabilities, other=probabilities)
def test_a_share_of_the_road_is_a_share_and_never_less_than_that_of_the_zone(
    probability: npt.NDArray[np.float32], other: npt.NDArray[np.float32]
) -> None:
    mask = replace(mask_of(probability), road=other > 0.5)
    (of_zone,) = ZoneReader([LEFT]).read(mask, probability)
    (of_road,) = ZoneReader([replace(LEFT, of_road=True)]).read(mask, probability)
    assert of_zone.water_fraction <= of_road.water_fraction <= 1.0
    assert of_road.water_fraction <= 4 * of_zone.water_fraction
