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
"""Of the time it ran or waited for a core, twice in succession: a backlog is read in less."""
MIN_RUN_SHARE = 0.1
"""Of the time it ran: on a busy machine everybody waits, but a healthy camera needs no core."""
LAST_NICE = 19


class Greed:
    """What one thread takes of a core. Without Linux's ``schedstat`` nobody is greedy."""

    def __init__(self, thread_id: int) -> None:
        self._thread_id = thread_id
        self._looked_at_s: float | None = None
        self._ran_s = self._wanted_s = 0.0
        self._was_greedy = False
        self.is_last = False

    def look(self, now_s: float) -> bool:
        """Look once a second or so; return whether the thread has just been put last.

        Args:
            now_s: Any clock that never goes backwards, in seconds.
        """
        used = _used_s(self._thread_id)
        if used is None or self.is_last:
            return False
        before_s, self._looked_at_s = self._looked_at_s, now_s
        ran_s, wanted_s = used[0] - self._ran_s, used[1] - self._wanted_s
        self._ran_s, self._wanted_s = used
        if before_s is None or now_s <= before_s:
            return False
        passed_s = now_s - before_s
        was_greedy = self._was_greedy
        self._was_greedy = (
            wanted_s > GREEDY_SHARE * passed_s and ran_s > MIN_RUN_SHARE * passed_s
        )
        if was_greedy and self._was_greedy:
            with contextlib.suppress(OSError):  # it has just ended
                os.setpriority(os.PRIO_PROCESS, self._thread_id, LAST_NICE)
                self.is_last = True
        return self.is_last


def _used_s(thread_id: int) -> tuple[float, float] | None:
    """Return for how long a thread has run, and has run or waited for a core, in seconds."""
    try:
        ran_ns, waited_ns, _ = (
            Path(f"/proc/self/task/{thread_id}/schedstat").read_text().split()
        )
    except (OSError, ValueError):
        return None
    return int(ran_ns) / 1e9, (int(ran_ns) + int(waited_ns)) / 1e9
