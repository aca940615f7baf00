"""Time as a dependency, so that no test ever sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


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
