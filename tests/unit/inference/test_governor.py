from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.inference.governor import MAX_STRETCH, LoadGovernor

windows = st.tuples(
    st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1)
)


def simulate(demand_per_s: float, capacity_per_s: float, windows: int) -> list[float]:
    """Return the factor after each window of a machine that judges so much at most."""
    governor, window_s = LoadGovernor(), 10.0
    factors = []
    for _ in range(windows):
        came = demand_per_s * window_s / governor.stretch
        judged = min(came, capacity_per_s * window_s)
        governor.update(
            judged=round(judged),
            lost=round(came - judged),
            waiting=0,
            busy_fraction=judged / (capacity_per_s * window_s),
        )
        factors.append(governor.stretch)
    return factors


@given(st.lists(windows, max_size=50))
def test_intervals_are_never_shortened_and_never_without_limit(
    history: list[tuple[int, int, int, float]],
) -> None:
    governor = LoadGovernor()
    for judged, lost, waiting, busy_fraction in history:
        governor.update(judged=judged, lost=lost, waiting=waiting, busy_fraction=busy_fraction)
        assert 1.0 <= governor.stretch <= MAX_STRETCH


@pytest.mark.parametrize("demand", [1.0, 5.0, 9.5])
def test_a_machine_that_keeps_up_is_left_alone(demand: float) -> None:
    assert set(simulate(demand, 10.0, 20)) == {1.0}


@pytest.mark.parametrize("demand", [12.0, 20.0, 50.0])
def test_under_overload_the_factor_settles_where_little_is_lost(demand: float) -> None:
    factors = simulate(demand, 10.0, 40)[20:]
    assert all(0.97 * demand / 10 <= factor <= 1.35 * demand / 10 for factor in factors)


def test_when_the_load_is_gone_the_intervals_come_back() -> None:
    governor = LoadGovernor()
    for _ in range(10):
        governor.update(judged=10, lost=10, waiting=0, busy_fraction=1.0)
    for _ in range(100):
        governor.update(judged=10, lost=0, waiting=0, busy_fraction=0.1)
    assert governor.stretch == 1.0


def simulate_queue(waiting: int, demand_per_s: float, windows: int) -> list[tuple[float, int]]:
    """Return factor and queue after each window of a machine that judges ten a second."""
    governor, history = LoadGovernor(), []
    for _ in range(windows):
        came = round(demand_per_s * 10.0 / governor.stretch)
        judged = min(waiting + came, 100)
        waiting += came - judged
        governor.update(judged=judged, lost=0, waiting=waiting, busy_fraction=judged / 100)
        history.append((governor.stretch, waiting))
    return history


def test_a_queue_that_grows_is_overload_long_before_pictures_are_too_old() -> None:
    history = simulate_queue(0, 12.0, 60)
    assert max(waiting for _, waiting in history) < 300  # half a minute's pictures
    assert all(waiting <= 200 for _, waiting in history[30:])


def test_the_burst_of_a_start_is_no_overload() -> None:
    assert {factor for factor, _ in simulate_queue(250, 4.0, 20)} == {1.0}
