from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.types import DepthInterval, ZoneId
from lsm_monitor.water.gauges import DepthReading, Gauge, GaugeReader, Mark, along, staff_marks

HW = (100, 160)
LANE = ZoneId("lane")


def column_gauge(depths_cm: list[float]) -> tuple[Gauge, list[int]]:
    """Return a gauge with one mark per row band, and the row of each mark."""
    rows = [5 + 10 * index for index in range(len(depths_cm))]
    marks = tuple(
        Mark(tuple((x, (row + 0.5) / HW[0]) for x in (0.25, 0.75)), depth_cm)
        for row, depth_cm in zip(rows, depths_cm, strict=True)
    )
    return Gauge("kerb", LANE, marks), rows


def read(depths_cm: list[float], seen: str) -> DepthReading:
    """Return what a gauge says whose marks are seen as ``w``, ``d`` or ``?`` (half)."""
    gauge, rows = column_gauge(depths_cm)
    belief = np.full(HW, 0.0, np.float32)
    for row, what in zip(rows, seen, strict=True):
        belief[row - 4 : row + 5] = {"w": 1.0, "d": 0.0, "?": 0.0}[what]
        if what == "?":
            belief[row - 4 : row + 5, 80:] = 1.0
    return GaugeReader([gauge]).read(belief)


def interval(min_cm: float, max_cm: float | None) -> DepthInterval:
    return DepthInterval(min_cm, max_cm, "gauge:kerb")


@pytest.mark.parametrize(
    ("seen", "expected", "agreement"),
    [
        pytest.param("wwd", interval(5, 15), 1.0, id="between-two-marks"),
        pytest.param("ddd", interval(0, 0), 1.0, id="the-lane-mark-is-dry"),
        pytest.param("www", interval(15, None), 1.0, id="over-all-marks"),
        pytest.param(
            "w?d", interval(0, 15), 1.0, id="a-mark-that-is-half-covered-says-nothing"
        ),
        pytest.param("??d", interval(0, 15), 1.0, id="only-an-upper-end"),
        pytest.param("w??", interval(0, None), 1.0, id="only-a-lower-end"),
        pytest.param("???", None, 1.0, id="nothing-says-anything"),
        pytest.param("wdw", interval(0, None), 2 / 3, id="a-car-before-the-middle-mark"),
        pytest.param("dwd", interval(0, 15), 2 / 3, id="a-car-before-the-lowest-mark"),
        pytest.param("ddw", None, 2 / 3, id="every-depth-is-possible"),
    ],
)
def test_depth_lies_between_the_highest_mark_under_water_and_the_lowest_dry_one(
    seen: str, expected: DepthInterval | None, agreement: float
) -> None:
    reading = read([0.0, 5.0, 15.0], seen)
    assert reading.interval == expected
    assert reading.agreement == pytest.approx(agreement)


def test_two_marks_of_one_height_that_differ_leave_the_depth_between_their_neighbours() -> None:
    assert read([5.0, 15.0, 15.0, 30.0], "wwdd").interval == interval(5, 30)


@given(
    true_cm=st.floats(0.0, 80.0),
    depths_cm=st.lists(st.floats(0.0, 80.0), min_size=1, max_size=9, unique=True),
    data=st.data(),
)
def test_the_true_depth_lies_in_the_interval_however_few_marks_are_seen(
    true_cm: float, depths_cm: list[float], data: st.DataObject
) -> None:
    seen = "".join(
        "?" if data.draw(st.booleans()) else "w" if depth_cm <= true_cm else "d"
        for depth_cm in depths_cm
    )
    reading = read(depths_cm, seen)
    assert reading.agreement == 1.0
    if reading.interval is not None:
        assert reading.interval.min_cm <= true_cm
        assert reading.interval.max_cm is None or true_cm <= reading.interval.max_cm


@given(
    true_cm=st.floats(0.0, 80.0),
    depths_cm=st.lists(st.floats(0.0, 80.0), min_size=2, max_size=9, unique=True),
    data=st.data(),
)
def test_one_mark_that_is_wrong_never_makes_a_narrower_claim_without_a_lower_agreement(
    true_cm: float, depths_cm: list[float], data: st.DataObject
) -> None:
    true = ["w" if depth_cm <= true_cm else "d" for depth_cm in depths_cm]
    wrong = data.draw(st.integers(0, len(true) - 1))
    lie = list(true)
    lie[wrong] = "d" if true[wrong] == "w" else "w"
    honest, reading = read(depths_cm, "".join(true)), read(depths_cm, "".join(lie))
    if reading.agreement == 1.0 or reading.interval is None or honest.interval is None:
        return  # the neighbour of the water line: nobody can know
    assert reading.interval.min_cm <= honest.interval.min_cm
    if reading.interval.max_cm is not None:
        assert honest.interval.max_cm is not None
        assert reading.interval.max_cm >= honest.interval.max_cm


def test_gauges_of_one_zone_are_read_together_and_named() -> None:
    kerb = Gauge("kerb", LANE, (Mark(((0.25, 0.5),), 15.0),))
    bollard = Gauge("bollard", LANE, (Mark(((0.75, 0.5),), 60.0),))
    belief = np.zeros(HW, np.float32)
    belief[:, :80] = 1.0
    reading = GaugeReader([bollard, kerb]).read(belief)
    assert reading.interval == DepthInterval(15.0, 60.0, "gauge:kerb,bollard")


@pytest.mark.parametrize("water_row", [12, 37, 50, 81])
def test_a_staff_reads_to_within_its_steps(water_row: int) -> None:
    belief = np.zeros(HW, np.float32)
    belief[water_row:] = 1.0  # water from below
    staff = Gauge("pole", LANE, staff_marks(((0.5, 0.95), (0.5, 0.05)), (0.0, 90.0)))
    reading = GaugeReader([staff]).read(belief)
    true_cm = (0.95 - water_row / HW[0]) * 100
    assert reading.interval is not None
    assert reading.interval.max_cm is not None
    assert reading.interval.min_cm - 1.0 <= true_cm <= reading.interval.max_cm + 1.0
    assert reading.interval.max_cm - reading.interval.min_cm <= 6.0


def test_a_line_is_covered_when_most_of_it_is() -> None:
    kerb = Gauge("kerb", LANE, (Mark(along([(0.0, 0.5), (0.6, 0.5), (1.0, 0.5)]), 15.0),))

    def covered(share: float) -> tuple[float, float | None] | None:
        belief: npt.NDArray[np.float32] = np.zeros(HW, np.float32)
        belief[:, : round(share * HW[1])] = 1.0
        depth = GaugeReader([kerb]).read(belief).interval
        return None if depth is None else (depth.min_cm, depth.max_cm)

    assert [covered(share) for share in (0.9, 0.5, 0.1)] == [(15.0, None), None, (0.0, 15.0)]


def test_marks_on_the_edge_of_the_picture_and_tiny_pictures_are_read() -> None:
    corners = Gauge("edge", LANE, (Mark(((0.0, 0.0), (1.0, 1.0)), 10.0),))
    for hw in ((1, 1), (2, 3), HW):
        reading = GaugeReader([corners]).read(np.ones(hw, np.float32))
        assert reading.interval == DepthInterval(10.0, None, "gauge:edge")


def test_a_change_of_resolution_moves_the_marks_along() -> None:
    gauge = Gauge("kerb", LANE, (Mark(((0.5, 0.25),), 15.0),))
    reader = GaugeReader([gauge])
    for hw in (HW, (360, 640)):
        belief = np.zeros(hw, np.float32)
        belief[: hw[0] // 2] = 1.0
        assert reader.read(belief).interval == interval(15.0, None)
