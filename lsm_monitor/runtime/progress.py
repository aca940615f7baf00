"""Whether work moves: the one question that feeds systemd's watchdog.

A process that answers signals but no longer judges frames is the failure nobody notices. Each
hop that must never stand still reports a beat; the watchdog is fed only while every beat is
recent. All cameras offline is not a failure of progress: the inference thread beats while it
waits, too, and a restart could not help a dark street.
"""

from __future__ import annotations

import threading

from lsm_monitor.clock import Clock


class Progress:
    """Latest beat of each hop. Thread-safe.

    Args:
        clock: Monotonic time.
        deadline_s: A hop without a beat for longer stands still.
    """

    def __init__(self, clock: Clock, *, deadline_s: float) -> None:
        self._clock = clock
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._beat_mono_s: dict[str, float] = {}

    def beat(self, hop: str) -> None:
        """Note that ``hop`` did something, or found nothing to do."""
        with self._lock:
            self._beat_mono_s[hop] = self._clock.monotonic_s()

    def standing_still(self) -> list[str]:
        """Return the hops whose last beat is too long ago, sorted."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return sorted(
                hop
                for hop, beat_s in self._beat_mono_s.items()
                if now_s - beat_s > self._deadline_s
            )
