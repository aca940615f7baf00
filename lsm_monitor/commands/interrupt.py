"""Ctrl-C as a request: what is being done is finished, and what was done is kept."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self


class Interrupt:
    """While it is entered, the first SIGINT or SIGTERM is noted, and the second one ends.

    A signal's handler runs between any two instructions: it sets a flag, and takes no lock.
    """

    def __init__(self) -> None:
        self.number = 0
        """The signal that came; 0: none."""

    def __enter__(self) -> Self:
        """Listen; main thread only."""
        self._before = {
            number: signal.signal(number, self._note)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Listen no more."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def is_requested(self) -> bool:
        """Return whether to stop."""
        return self.number != 0

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
