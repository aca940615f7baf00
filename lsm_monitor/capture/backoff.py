"""How long to wait before a camera is opened again.

The wait doubles with each failure in a row, up to a ceiling, and is drawn at random from its
upper half: after a power cut a thousand cameras come back at once, and they should not be
asked all in the same second. Failures that only a person can mend start at a longer wait,
also because many cameras lock an account after a few wrong passwords.
"""

from __future__ import annotations

import random

from lsm_monitor.types import HealthCode

_FIRST_WAIT_S = 1.0
_FIRST_WAIT_FOR_A_PERSON_S = 15.0
_NEEDS_A_PERSON = frozenset({HealthCode.UNAUTHORIZED, HealthCode.NOT_FOUND})
# A stream that lasted this long was healthy: its end begins a new row of failures.
HEALTHY_AFTER_S = 60.0


class Backoff:
    """Waits of one camera; ``max_s`` is the ceiling, whatever the cause."""

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._failures_in_a_row = 0

    def next_wait_s(self, code: HealthCode, lasted_s: float) -> float:
        """Return the wait after a failure, in seconds: in [ceiling / 2, ceiling].

        Args:
            code: Why the source failed.
            lasted_s: How long it delivered pictures before; 0 when it could not be opened.
        """
        if lasted_s >= HEALTHY_AFTER_S:
            self._failures_in_a_row = 0
        first_s = _FIRST_WAIT_FOR_A_PERSON_S if code in _NEEDS_A_PERSON else _FIRST_WAIT_S
        # 2 ** 20 s is beyond any ceiling; the cap keeps a year of failures from overflowing.
        ceiling_s = min(self._max_s, first_s * 2.0 ** min(self._failures_in_a_row, 20))
        self._failures_in_a_row += 1
        return random.uniform(ceiling_s / 2, ceiling_s)  # noqa: S311 - jitter
