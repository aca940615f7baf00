from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fault_plan import FaultPlan


def plan(cameras: int, share: float, seed: int = 0) -> FaultPlan:
    return FaultPlan(cameras, share=share, period_s=60.0, faults=["hang", "404"], seed=seed)


@given(st.integers(1, 60), st.floats(0.05, 0.9), st.floats(0.0, 1e5))
def test_the_wanted_share_is_broken_at_any_time(
    cameras: int, share: float, time_s: float
) -> None:
    made = plan(cameras, share)
    broken = sum(made.fault_at(camera, time_s) is not None for camera in range(cameras))
    assert broken == pytest.approx(share * cameras, abs=1.01)


@given(st.floats(0.05, 0.9), st.integers(0, 9), st.floats(1.0, 500.0))
def test_spans_tile_the_time_and_alternate(share: float, camera: int, until_s: float) -> None:
    made = plan(10, share)
    spans = made.spans(camera, until_s)
    assert (spans[0].start_s, spans[-1].end_s) == (0.0, until_s)
    for earlier, later in itertools.pairwise(spans):
        assert earlier.end_s == later.start_s
        assert (earlier.fault is None) != (later.fault is None)
    for span in spans:
        middle_s = (span.start_s + span.end_s) / 2
        assert made.fault_at(camera, middle_s) == span.fault


def test_the_same_seed_is_the_same_plan_and_another_one_is_not() -> None:
    def all_of(seed: int) -> list[object]:
        return [plan(10, 0.3, seed).spans(camera, 600.0) for camera in range(10)]

    assert all_of(1) == all_of(1)
    assert all_of(1) != all_of(2)
