import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.demo.scene_view import View

VIEW = View(640, 360, 460.0, 86.0, 4.6, 2.0, -0.1)


@given(row=st.integers(100, 359), column=st.integers(0, 639))
def test_projecting_the_ground_of_a_pixel_gives_the_pixel_back(row: int, column: int) -> None:
    x_m, z_m, _ = VIEW.ground()
    point = (float(x_m[row, column]), 0.0, float(z_m[row, column]))
    assert VIEW.project(point) == pytest.approx([column + 0.5, row + 0.5], abs=0.02)


@given(x_m=st.floats(-5, 5), z_m=st.floats(5, 80), up_m=st.floats(0, 8))
def test_the_mirror_image_meets_the_thing_at_the_waterline(
    x_m: float, z_m: float, up_m: float
) -> None:
    base, top = VIEW.project([(x_m, 0.0, z_m), (x_m, up_m, z_m)])
    mirrored_base, mirrored_top = VIEW.project(
        [(x_m, 0.0, z_m), (x_m, up_m, z_m)], mirrored=True
    )
    assert mirrored_base == pytest.approx(base)
    # Straight below, as far as the thing rises above.
    assert mirrored_top[0] == pytest.approx(top[0])
    assert mirrored_top[1] - base[1] == pytest.approx(base[1] - top[1], abs=0.01)


def test_a_scaled_view_shows_the_same_at_more_pixels() -> None:
    point = np.array((1.0, 2.0, 20.0))
    assert VIEW.scaled(2).project(point) == pytest.approx(2 * VIEW.project(point))
