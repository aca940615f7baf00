from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.config.intervals import fast_interval_s, interval_s, usual_interval_s
from lsm_monitor.config.models import CameraDefaults
from lsm_monitor.config.watching import Mode


def camera(mode: Mode, **settings: float) -> CameraDefaults:
    return CameraDefaults.model_validate({"mode": mode, "stale_after_s": 86400.0, **settings})


@pytest.mark.parametrize("mode", ["continuous", "patrol"])
def test_a_camera_is_looked_at_faster_while_something_is_about_to_change(mode: Mode) -> None:
    one = camera(mode, interval_s=30.0, fast_interval_s=5.0)
    assert interval_s(one, pending=False, triggered=False, episode_open=False) == 30.0
    assert interval_s(one, pending=False, triggered=False, episode_open=True) == 30.0
    assert interval_s(one, pending=True, triggered=False, episode_open=False) == 5.0
    assert interval_s(one, pending=False, triggered=True, episode_open=True) == 5.0


def test_a_triggered_camera_rests_until_it_rains_and_not_before_the_water_is_gone() -> None:
    one = camera("triggered", interval_s=30.0, fast_interval_s=5.0, idle_interval_s=600.0)
    assert interval_s(one, pending=False, triggered=False, episode_open=False) == 600.0
    assert interval_s(one, pending=False, triggered=True, episode_open=False) == 5.0
    assert interval_s(one, pending=False, triggered=False, episode_open=True) == 30.0
    assert interval_s(one, pending=True, triggered=False, episode_open=True) == 5.0


@pytest.mark.parametrize(
    ("usual_s", "fast_s"), [(30.0, 10.0), (6.0, 2.0), (3.0, 2.0), (1.0, 1.0)]
)
def test_the_fast_interval_is_a_third_but_not_below_two_seconds(
    usual_s: float, fast_s: float
) -> None:
    assert fast_interval_s(camera("continuous", interval_s=usual_s)) == fast_s


@given(
    st.sampled_from(["continuous", "patrol", "triggered"]),
    st.floats(0.1, 900.0),
    st.none() | st.floats(0.01, 1.0),
)
def test_no_news_ever_slows_a_camera_down(
    mode: Mode, usual_s: float, fast_share: float | None
) -> None:
    settings = {} if fast_share is None else {"fast_interval_s": usual_s * fast_share}
    one = camera(mode, interval_s=usual_s, **settings)
    for news in itertools.product([False, True], repeat=3):
        now_s = interval_s(one, pending=news[0], triggered=news[1], episode_open=news[2])
        assert now_s <= usual_interval_s(one)
