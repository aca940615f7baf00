"""Puts a camera's thread behind all others while it keeps a core busy.

What a camera sends is read in native code, as fast as it comes: one that floods takes a core
until its time-out, and ten of them take it from everybody. Linux gives each thread a priority
of its own, but lets nobody without privileges raise it again: the camera's next connection
must have another thread.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

GREEDY_SHARE = 0.5
"""Of a core, in two looks in succession: a backlog is read in less."""
LAST_NICE = 19


class Greed:
    """What one thread takes of a core. Without Linux's ``schedstat`` nobody is greedy."""

    def __init__(self, thread_id: int) -> None:
        self._thread_id = thread_id
        self._looked_at_s: float | None = None
        self._took_s = 0.0
        self._was_greedy = False
        self.is_last = False

    def look(self, now_s: float) -> bool:
        """Look once a second or so; return whether the thread has just been put last.

        Args:
            now_s: Any clock that never goes backwards, in seconds.
        """
        took_s = _cpu_s(self._thread_id)
        if took_s is None or self.is_last:
            return False
        before_s, self._looked_at_s = self._looked_at_s, now_s
        spent_s, self._took_s = took_s - self._took_s, took_s
        if before_s is None or now_s <= before_s:
            return False
        was_greedy, self._was_greedy = (
            self._was_greedy,
            spent_s > GREEDY_SHARE * (now_s - before_s),
        )
        if was_greedy and self._was_greedy:
            with contextlib.suppress(OSError):  # it has just ended
                os.setpriority(os.PRIO_PROCESS, self._thread_id, LAST_NICE)
                self.is_last = True
        return self.is_last


def _cpu_s(thread_id: int) -> float | None:
    try:
        nanoseconds = Path(f"/proc/self/task/{thread_id}/schedstat").read_text().split()[0]
    except (OSError, IndexError):
        return None
    return int(nanoseconds) / 1e9
