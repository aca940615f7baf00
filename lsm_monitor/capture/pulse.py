"""A stop event that knows when it was last looked at.

Whoever honours a stop event asks it again and again, so its questions are the signs of life of
the thread that asks: a thread that is stuck inside a library asks no more. No loop has to
report anything for it.
"""

from __future__ import annotations

import threading

from lsm_monitor.clock import Clock


class Pulse(threading.Event):
    """Asked by one thread whether to stop, and by another whether that thread lives."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._alive_until_s = clock.monotonic_s()

    def is_set(self) -> bool:
        """Return whether to stop."""
        self._alive_until_s = self._clock.monotonic_s()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be stopped; a wait that was announced is no silence."""
        self._alive_until_s = self._clock.monotonic_s() + (timeout or 0.0)
        was_set = super().wait(timeout)
        self._alive_until_s = self._clock.monotonic_s()
        return was_set

    def silent_s(self) -> float:
        """Return for how long the thread has been neither asking nor waiting, in seconds."""
        return max(0.0, self._clock.monotonic_s() - self._alive_until_s)
