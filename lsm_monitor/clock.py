"""Time as a dependency, so that no test ever sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_DRIFT: Final = timedelta(minutes=1)
_LASTING_S: Final = 3600.0


class Clock(Protocol):
    """The three things the daemon does with time."""

    def monotonic_s(self) -> float:
        """Return seconds from an arbitrary start; never goes backwards."""
        ...

    def now(self) -> datetime:
        """Return the wall clock, timezone-aware UTC: for people and for the wire."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


class SystemClock:
    """The real clock."""

    def monotonic_s(self) -> float:
        """Return :func:`time.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the system's time, timezone-aware UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)


class SettledTime:
    """The wall clock for what is deleted by its age. Not thread-safe.

    A time server, a receiver or a hypervisor may set a clock years ahead for a minute, and
    everything would be too old. So a jump ahead counts only when it has lasted for an hour.

    Args:
        clock: What may jump.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero: datetime | None = None  # the wall clock at monotonic 0
        self._ahead_since_s: float | None = None

    def now(self) -> datetime:
        """Return the time as it is believed, timezone-aware UTC; never later than the clock.

        The first answer is the clock's: what was before is not known.
        """
        mono_s = self._clock.monotonic_s()
        zero = self._clock.now() - timedelta(seconds=mono_s)
        if self._zero is None or zero <= self._zero + _DRIFT:
            self._zero, self._ahead_since_s = zero, None
        elif self._ahead_since_s is None:
            self._ahead_since_s = mono_s
        elif mono_s - self._ahead_since_s >= _LASTING_S:
            self._zero, self._ahead_since_s = zero, None
        return self._zero + timedelta(seconds=mono_s)
