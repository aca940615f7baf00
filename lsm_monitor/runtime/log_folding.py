"""A repeated fault is one line with a count.

A camera that fails every second for a night would bury the one line that matters. The first
warning of a kind is passed on at once; the same again within a window is only counted, and
the count is told when the window is over. Nothing is lost: the counts of all lines add up to
the number of records.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_S = 300.0
_MAX_KINDS = 1000
"""More kinds than this at once are passed on unfolded: a bound, never a loss."""


@dataclass(slots=True)
class _Kind:
    """One fault in its window."""

    since_s: float
    newest: logging.LogRecord
    repeated: int = 0


class FoldingHandler(logging.Handler):
    """Passes records on to ``target``, warnings and worse only once per window.

    Two records are the same when logger, level, text and exception are, whatever their
    ``float`` arguments: those are measures, such as the seconds until the next attempt.

    Args:
        target: Writes what is passed on.
        window_s: How long repeats are only counted.
        monotonic_s: Returns monotonic seconds.
    """

    def __init__(
        self,
        target: logging.Handler,
        *,
        window_s: float = _WINDOW_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._target = target
        self._window_s = window_s
        self._monotonic_s = monotonic_s
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Pass ``record`` on, or count it."""
        now_s = self._monotonic_s()
        self._end_windows(now_s)
        if record.levelno < logging.WARNING:
            self._target.handle(record)
            return
        key = _key_of(record)
        known = self._kinds.get(key)
        if known is not None:
            known.repeated += 1
            known.newest = record
            self._start_timer()
            return
        if len(self._kinds) < _MAX_KINDS:
            self._kinds[key] = _Kind(now_s, record)
        self._target.handle(record)

    def flush(self) -> None:
        """Tell every count now; the interpreter's end and :meth:`close` do it, too."""
        with self._locked():
            self._end_windows(float("inf"))
        self._target.flush()

    def close(self) -> None:
        """Tell every count and end."""
        self.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._target.close()
        super().close()

    def _end_windows(self, now_s: float) -> None:
        over = [
            key for key, kind in self._kinds.items() if now_s - kind.since_s >= self._window_s
        ]
        for key in over:
            kind = self._kinds.pop(key)
            if kind.repeated:
                self._target.handle(_with_count(kind, self._window_s))

    def _start_timer(self) -> None:
        """Have the count told when nothing else is logged until the window is over."""
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(self._window_s, self._on_timer)
            self._timer.name = "log-folding"
            self._timer.daemon = True
            self._timer.start()

    def _on_timer(self) -> None:
        with self._locked():
            self._end_windows(self._monotonic_s())
            self._timer = None
            if any(kind.repeated for kind in self._kinds.values()):
                self._start_timer()

    def _locked(self) -> threading.RLock:
        assert self.lock is not None  # noqa: S101 - only a handler that was closed has none
        return self.lock


def _key_of(record: logging.LogRecord) -> tuple[object, ...]:
    arguments = record.args if isinstance(record.args, tuple) else (record.args,)
    return (
        record.name,
        record.levelno,
        str(record.msg),
        tuple("" if isinstance(argument, float) else str(argument) for argument in arguments),
        None if record.exc_info is None else repr(record.exc_info[1]),
    )


def _with_count(kind: _Kind, window_s: float) -> logging.LogRecord:
    """Return the newest record of ``kind``, without its traceback, with its count."""
    record = copy.copy(kind.newest)
    times = "once more" if kind.repeated == 1 else f"{kind.repeated} times more"
    record.msg = f"{record.getMessage()} ({times} within {window_s:g} s)"
    record.args = None
    record.exc_info = record.exc_text = None
    return record
