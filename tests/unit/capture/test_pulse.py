from __future__ import annotations

from lsm_monitor.capture.pulse import Pulse
from tests.fakes import FakeClock


def test_a_thread_that_asks_is_not_silent(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    clock.now_s += 5
    assert pulse.silent_s() == 5
    assert not pulse.is_set()
    assert pulse.silent_s() == 0


def test_a_wait_that_was_announced_is_no_silence(clock: FakeClock) -> None:
    class Interrupted(Pulse):
        """Looks at itself from outside in the middle of a wait."""

        def __init__(self) -> None:
            super().__init__(clock)
            self.seen: list[float] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.set()  # the real wait returns at once
            try:
                return super().wait(timeout)
            finally:
                self.seen.append(self.silent_s())

    pulse = Interrupted()
    assert pulse.wait(60.0)
    assert pulse.seen == [0.0]


def test_during_the_wait_the_thread_counts_as_alive_until_its_end(clock: FakeClock) -> None:
    pulse = Pulse(clock)
    pulse._alive_until_s = clock.now_s + 60  # as set when the wait begins
    clock.now_s += 59
    assert pulse.silent_s() == 0
    clock.now_s += 11
    assert pulse.silent_s() == 10
