from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.types import CameraId, FrameStamp, WaterMask
from lsm_monitor.water.smoothing import BELIEVED_FROM, MaskSmoother

START = datetime(2026, 7, 1, tzinfo=UTC)
WET, DRY = 0.9, 0.1


def mask_at(
    t_s: float, probability: float, epoch: int = 0, hw: tuple[int, int] = (2, 3)
) -> WaterMask:
    stamp = FrameStamp(CameraId("bridge"), epoch, 0, t_s, START, t_s)
    return WaterMask(stamp, np.full(hw, probability, np.float32), 0.5, inference_ms=0.0)


class Pixel:
    """One pixel that is looked at every ``interval_s``."""

    def __init__(self, interval_s: float, begin: float) -> None:
        self.smoother = MaskSmoother(smoothing_s=20.0, max_gap_s=1000.0)
        self.interval_s = interval_s
        self.t_s = 0.0
        for _ in range(200):
            self.see(begin)

    def see(self, probability: float) -> bool:
        self.t_s += self.interval_s
        belief = self.smoother.update(mask_at(self.t_s, probability))
        return bool(belief[0, 0] >= BELIEVED_FROM)

    def time_to_believe(self, probability: float) -> float:
        """Return after how many seconds a change that lasts is believed."""
        began_s = self.t_s
        goal = probability >= 0.5
        while self.see(probability) is not goal:
            assert self.t_s < began_s + 1000.0
        return self.t_s - began_s


@pytest.mark.parametrize("interval_s", [0.2, 1.0, 5.0, 10.0, 20.0])
def test_a_change_that_lasts_is_believed_after_the_same_time_at_any_frame_rate(
    interval_s: float,
) -> None:
    assert 12.0 <= Pixel(interval_s, DRY).time_to_believe(WET) <= 40.0
    assert 25.0 <= Pixel(interval_s, WET).time_to_believe(DRY) <= 60.0


@pytest.mark.parametrize("interval_s", [1.0, 2.0, 10.0, 20.0])
def test_what_passes_within_ten_seconds_neither_hides_water_nor_makes_any(
    interval_s: float,
) -> None:
    for before, passing in ((WET, DRY), (DRY, WET)):
        pixel = Pixel(interval_s, before)
        seen = [pixel.see(passing) for _ in range(max(1, int(9.0 / interval_s)))]
        assert set(seen) == {before >= 0.5}


def test_water_behind_dense_traffic_stays_water() -> None:
    # A car stands in front of it in two of five frames.
    pixel = Pixel(10.0, WET)
    assert all(pixel.see(DRY if i % 5 < 2 else WET) for i in range(100))


def test_the_first_frame_is_believed_as_it_is() -> None:
    for probability in (WET, DRY):
        belief = MaskSmoother(smoothing_s=20.0, max_gap_s=100.0).update(
            mask_at(5.0, probability)
        )
        assert (belief >= BELIEVED_FROM).all() == (probability >= 0.5)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(mask_at(1.0, WET, epoch=1), id="reconnected"),
        pytest.param(mask_at(11.5, WET), id="long-gap"),
        pytest.param(mask_at(2.0, WET, hw=(4, 6)), id="other-resolution"),
        pytest.param(mask_at(0.5, WET), id="clock-went-back"),
    ],
)
def test_belief_starts_afresh_when_the_picture_is_not_comparable(later: WaterMask) -> None:
    smoother = MaskSmoother(smoothing_s=20.0, max_gap_s=10.0)
    fresh = MaskSmoother(smoothing_s=20.0, max_gap_s=10.0).update(later)
    smoother.update(mask_at(1.0, DRY))
    np.testing.assert_array_equal(smoother.update(later), fresh)
    assert (fresh >= BELIEVED_FROM).all()


steps = st.lists(
    st.tuples(st.floats(0.0, 300.0), st.floats(0.0, 1.0, width=32)), min_size=1, max_size=30
)


@given(steps=steps, smoothing_s=st.floats(0.001, 3600.0))
def test_belief_is_a_probability_whatever_is_shown(
    steps: list[tuple[float, float]], smoothing_s: float
) -> None:
    smoother, t_s = MaskSmoother(smoothing_s=smoothing_s, max_gap_s=200.0), 0.0
    for dt_s, probability in steps:
        t_s += dt_s
        belief = smoother.update(mask_at(t_s, probability))
        assert belief.dtype == np.float32
        assert 0.0 <= belief.min() <= belief.max() <= 1.0


@given(steps=steps, data=st.data())
def test_more_water_never_lowers_the_belief(
    steps: list[tuple[float, float]], data: st.DataObject
) -> None:
    less, more = (MaskSmoother(smoothing_s=20.0, max_gap_s=200.0) for _ in range(2))
    t_s = 0.0
    for dt_s, probability in steps:
        t_s += dt_s
        lower = less.update(mask_at(t_s, probability))
        higher = more.update(mask_at(t_s, max(probability, data.draw(st.floats(0.0, 1.0)))))
        assert (higher >= lower - 1e-4).all()  # beliefs are kept in steps of 1 / 65535


def test_what_was_handed_out_never_changes_and_nothing_is_written_into_the_mask() -> None:
    smoother = MaskSmoother(smoothing_s=4.0, max_gap_s=10.0)
    first = mask_at(0.0, 0.25)
    handed_out = [smoother.update(first), smoother.update(mask_at(1.0, 1.0))]
    copies = [belief.copy() for belief in handed_out]
    smoother.update(mask_at(2.0, 0.5))
    np.testing.assert_array_equal(handed_out, copies)
    np.testing.assert_array_equal(first.probability, np.float32(0.25))


def test_a_camera_costs_two_bytes_per_pixel() -> None:
    smoother = MaskSmoother(smoothing_s=20.0, max_gap_s=100.0)
    smoother.update(mask_at(0.0, WET, hw=(360, 640)))
    kept = [value for value in vars(smoother).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in kept) == 2 * 360 * 640
