from __future__ import annotations

from collections.abc import Callable

import pytest

from lsm_engines.api import Precision
from lsm_engines.benchmark import Case, count_flops, interleave, measure
from lsm_engines.machine import Machine, peak_flops, this_machine, usable_cores
from tests.engines.small_graphs import mixer_graph


class Stopwatch:
    """A clock that only the things it times move."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.order: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def takes(self, name: str, *seconds: float) -> Callable[[], None]:
        """Return something that takes ``seconds``, call by call; the last for ever."""
        left = list(seconds)

        def run() -> None:
            self.order.append(name)
            self.now_s += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_contenders_take_turns_in_the_opposite_order_every_other_round() -> None:
    clock = Stopwatch()
    runs = {name: clock.takes(name, 1.0) for name in "abc"}
    times_s = interleave(runs, seconds=100.0, rounds=3, clock=clock)
    assert "".join(clock.order) == "abccbaabc"
    assert times_s == {name: [1.0] * 3 for name in "abc"}


def test_no_round_begins_after_the_time_but_the_third() -> None:
    clock = Stopwatch()
    assert len(interleave({"a": clock.takes("a", 1.0)}, seconds=5.0, clock=clock)["a"]) == 5
    assert len(interleave({"a": clock.takes("a", 9.0)}, seconds=5.0, clock=clock)["a"]) == 3


def test_the_hopeless_leave_the_race() -> None:
    clock = Stopwatch()
    runs = {"slow": clock.takes("slow", 4.0), "fast": clock.takes("fast", 1.0)}
    times_s = interleave(runs, seconds=100.0, rounds=5, hopeless=3.0, clock=clock)
    assert (len(times_s["slow"]), len(times_s["fast"])) == (1, 5)


def test_a_row_has_the_first_call_apart_and_the_percentiles_of_the_others() -> None:
    clock = Stopwatch()
    case = Case("torch", "cpu", "fp32", batch=4, input_px=16, scope="encoder")
    (row,) = measure({case: clock.takes("a", 9.0, 1.0, 3.0, 2.0)}, seconds=5.0, clock=clock)
    assert row.warm_up_ms == 9000.0
    assert row.images_per_second == 4 * 3 / 6
    assert row.latency_ms_p50 == 2000.0
    assert row.latency_ms_p99 == pytest.approx(2980.0)
    assert (row.backend, row.batch, row.scope) == ("torch", 4, "encoder")


def test_operations_are_counted_for_one_picture() -> None:
    # A convolution 3 x 3 from 3 to 8 channels, 8 x 8 outputs, multiply and add.
    assert count_flops(mixer_graph()) == 2 * 3 * 3 * 3 * 8 * 8 * 8


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_is_a_rate_however_little_time_there_is(precision: Precision) -> None:
    assert 1e7 < peak_flops("cpu", precision, seconds=0.0) < 1e16


def test_a_machine_is_said_in_a_line() -> None:
    assert str(Machine("Z80", 2, None)) == "2 cores of Z80"
    assert str(Machine("Z80", 2, "H200 (CUDA 13)")) == "H200 (CUDA 13), 2 cores of Z80"
    assert this_machine().cores == usable_cores() >= 1
