from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.backoff import HEALTHY_AFTER_S, Backoff
from lsm_monitor.types import HealthCode

REFUSED, UNAUTHORIZED = HealthCode.CONNECTION_REFUSED, HealthCode.UNAUTHORIZED


@given(failures=st.integers(1, 2000), max_s=st.floats(0.01, 86400.0))
def test_a_wait_is_never_longer_than_the_ceiling_nor_shorter_than_half_of_it(
    failures: int, max_s: float
) -> None:
    backoff = Backoff(max_s)
    for number in range(failures):
        ceiling_s = min(max_s, 2.0 ** min(number, 20))
        assert ceiling_s / 2 <= backoff.next_wait_s(REFUSED, 0.0) <= ceiling_s


def test_a_healthy_stream_forgives_earlier_failures() -> None:
    backoff = Backoff(600.0)
    for _ in range(10):
        backoff.next_wait_s(REFUSED, 0.0)
    assert backoff.next_wait_s(HealthCode.ENDED, HEALTHY_AFTER_S) <= 1.0


def test_a_stream_that_ends_at_once_is_not_healthy() -> None:
    backoff = Backoff(600.0)
    waits = [backoff.next_wait_s(HealthCode.ENDED, 2.0) for _ in range(8)]
    assert waits[-1] >= 64.0


@pytest.mark.parametrize("code", [UNAUTHORIZED, HealthCode.NOT_FOUND])
def test_what_only_a_person_can_mend_is_tried_less_often(code: HealthCode) -> None:
    assert Backoff(60.0).next_wait_s(code, 0.0) >= 7.5


def test_cameras_do_not_come_back_in_step() -> None:
    assert len({Backoff(60.0).next_wait_s(REFUSED, 0.0) for _ in range(50)}) > 40
