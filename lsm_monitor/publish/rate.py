"""A token bucket: so many at once, so many per second in the long run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """What is allowed: ``burst`` at once, then ``per_s``."""

    burst: int
    per_s: float


class TokenBucket:
    """Says whether one more is allowed now.

    Args:
        rate: What is allowed.
        now_s: Monotonic time; the bucket starts full.
    """

    def __init__(self, rate: Rate, now_s: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._filled_s = now_s

    def take(self, now_s: float) -> bool:
        """Return whether one more is allowed, and count it if so."""
        gained = (now_s - self._filled_s) * self._rate.per_s
        self._tokens = min(float(self._rate.burst), self._tokens + gained)
        self._filled_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
