"""Starts capture processes, and waits while the machine refuses.

Who has no memory, open files or process numbers left for one process has none for the next
one either: after a refusal all starts wait, longer each time. What runs already goes on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from lsm_monitor.capture import wire
from lsm_monitor.capture.worker_link import WorkerLink
from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics

logger = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_MOST_DOUBLINGS = 5  # beyond the longest wait


class Starts:
    """Owned by one thread.

    Args:
        command: Starts a capture process.
        log_as: How processes write their logs; may be changed.
        metrics: Counts refusals.
        clock: Monotonic time.
    """

    def __init__(
        self, command: Sequence[str], *, log_as: wire.LogAs, metrics: Metrics, clock: Clock
    ) -> None:
        self._command = command
        self.log_as = log_as
        self._metrics = metrics
        self._clock = clock
        self._refusals = 0
        self._not_before_s = -math.inf

    def start(self) -> WorkerLink | None:
        """Return a new process; ``None`` when the machine refuses one, or did just now."""
        if self._clock.monotonic_s() < self._not_before_s:
            return None
        try:
            link = WorkerLink(self._command, clock=self._clock)
        except OSError as exc:
            self._put_off(exc)
            return None
        self._refusals = 0
        link.order(self.log_as)
        return link

    def _put_off(self, exc: OSError) -> None:
        wait_s = min(
            _LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self._refusals, _MOST_DOUBLINGS)
        )
        self._refusals += 1
        self._not_before_s = self._clock.monotonic_s() + wait_s
        self._metrics.capture_process_ends.labels("not_started").inc()
        logger.error(
            "a capture process cannot be started (%s); trying again in %.0f s",
            exc.strerror or type(exc).__name__,
            wait_s,
        )
