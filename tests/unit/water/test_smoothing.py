from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.types import CameraId, FrameStamp, WaterMask
from lsm_monitor.water.smoothing import MaskSmoother, ema_weight

seconds = st.floats(0.0, 600.0)
START = datetime(2026, 7, 1, tzinfo=UTC)


def mask_at(
    t_s: float, probability: float, epoch: int = 0, hw: tuple[int, int] = (2, 3)
) -> WaterMask:
    stamp = FrameStamp(CameraId("bridge"), epoch, 0, t_s, START, t_s)
    return WaterMask(stamp, np.full(hw, probability, np.float32), 0.5, inference_ms=0.0)


@given(a=seconds, b=seconds, tau=st.floats(0.1, 60.0))
def test_two_short_steps_weigh_the_same_as_one_long_step(
    a: float, b: float, tau: float
) -> None:
    left = (1 - ema_weight(a, tau)) * (1 - ema_weight(b, tau))
    assert left == pytest.approx(1 - ema_weight(a + b, tau), abs=1e-12)


@pytest.mark.parametrize("fps", [1, 5, 25])
def test_step_response_after_one_time_constant_is_63_percent_at_any_frame_rate(
    fps: int,
) -> None:
    smoother = MaskSmoother(time_constant_s=4.0, max_gap_s=10.0)
    average = smoother.update(mask_at(0.0, 0.0))
    for i in range(1, 4 * fps + 1):
        average = smoother.update(mask_at(i / fps, 1.0))
    np.testing.assert_allclose(average, 1 - np.exp(-1), atol=1e-5)


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(mask_at(1.0, 1.0, epoch=1), id="reconnected"),
        pytest.param(mask_at(11.5, 1.0), id="long-gap"),
        pytest.param(mask_at(2.0, 1.0, hw=(4, 6)), id="other-resolution"),
        pytest.param(mask_at(0.5, 1.0), id="clock-went-back"),
    ],
)
def test_average_starts_afresh_when_the_picture_is_not_comparable(later: WaterMask) -> None:
    smoother = MaskSmoother(time_constant_s=4.0, max_gap_s=10.0)
    smoother.update(mask_at(1.0, 0.0))
    np.testing.assert_array_equal(smoother.update(later), 1.0)


@given(
    steps=st.lists(st.tuples(st.floats(0.0, 9.0), st.floats(0.0, 1.0)), min_size=1, max_size=20)
)
def test_the_average_stays_between_the_lowest_and_the_highest_mask(
    steps: list[tuple[float, float]],
) -> None:
    smoother = MaskSmoother(time_constant_s=4.0, max_gap_s=10.0)
    t_s = 0.0
    shares = [probability for _, probability in steps]
    for dt_s, probability in steps:
        t_s += dt_s
        average = smoother.update(mask_at(t_s, probability))
        assert min(shares) - 1e-6 <= average.min() <= average.max() <= max(shares) + 1e-6


def test_an_average_that_was_handed_out_never_changes() -> None:
    smoother = MaskSmoother(time_constant_s=4.0, max_gap_s=10.0)
    first = mask_at(0.0, 0.25)
    handed_out = [smoother.update(first), smoother.update(mask_at(1.0, 1.0))]
    copies = [average.copy() for average in handed_out]
    smoother.update(mask_at(2.0, 0.5))
    np.testing.assert_array_equal(handed_out, copies)
    np.testing.assert_array_equal(first.probability, np.float32(0.25))


def test_backward_time_is_an_error_that_says_by_how_much() -> None:
    with pytest.raises(ValueError, match=r"backwards by 0\.250 s"):
        ema_weight(-0.25, 4.0)
