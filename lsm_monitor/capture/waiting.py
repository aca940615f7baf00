"""Waiting for the next picture of a source that is asked, and not listened to."""

from __future__ import annotations

import threading
from collections.abc import Callable

from lsm_monitor.clock import Clock

_LOOK_AGAIN_S = 1.0


def wait_interval(
    stop: threading.Event, clock: Clock, since_s: float, interval_s: Callable[[], float]
) -> float:
    """Wait until an interval that may change meanwhile is over, or ``stop`` is set.

    Args:
        stop: Ends the wait.
        clock: Monotonic time.
        since_s: When the interval began.
        interval_s: Returns its length, in seconds; asked again every second.

    Returns:
        When the interval was over, or would have been, in seconds.
    """
    while not stop.is_set():
        left_s = since_s + interval_s() - clock.monotonic_s()
        if left_s <= 0:
            break
        stop.wait(min(left_s, _LOOK_AGAIN_S))
    return since_s + interval_s()
