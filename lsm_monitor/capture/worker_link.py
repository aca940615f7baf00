"""The daemon's end of one capture process: starts it, speaks with it, ends it."""

from __future__ import annotations

import mmap
import subprocess
from collections.abc import Sequence

from lsm_monitor.capture import wire
from lsm_monitor.clock import Clock

_ORDER_TIMEOUT_S = 1.0
"""Orders are short, and the process reads them at once unless it is stuck."""


class WorkerLink:
    """A running capture process. Owned by one thread.

    Attributes:
        end: This side's socket; it never blocks.
        heard_s: When the process was heard last, on the monotonic clock.
        is_gone: Whether its end of the pair is closed, or it reads no orders any more.

    Args:
        command: Command line; the descriptor of its end is appended.
        clock: Time of the beats.
    """

    def __init__(self, command: Sequence[str], *, clock: Clock) -> None:
        self.end, theirs = wire.pair()
        self._clock = clock
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self.end.settimeout(0)
        # Importing what it needs takes a process a second, more on a busy machine.
        self.heard_s = clock.monotonic_s()
        self.has_beaten = False
        self.is_gone = False

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def order(self, order: wire.Order, memory: bytes | None = None) -> None:
        """Tell the process what to do; one that does not listen counts as gone.

        Args:
            order: What to do.
            memory: Goes beside it.
        """
        try:
            self.end.settimeout(_ORDER_TIMEOUT_S)
            wire.send(self.end, order, None if memory is None else memoryview(memory))
            self.end.settimeout(0)
        except OSError:
            self.is_gone = True

    def take(self) -> tuple[wire.News, mmap.mmap | None] | None:
        """Return the next news, or ``None`` when there is none now, or none any more."""
        if self.is_gone:
            return None
        try:
            received = wire.receive(self.end)
        except BlockingIOError:
            return None
        except OSError:
            received = None
        if received is None:
            self.is_gone = True
            return None
        self.heard_s = self._clock.monotonic_s()
        news, memory = received
        if isinstance(news, wire.Order):
            msg = f"a capture process sent an order: {type(news).__name__}"
            raise TypeError(msg)
        self.has_beaten |= isinstance(news, wire.Beat)
        return news, memory

    def dismiss(self) -> None:
        """Close this end: a process that is well stops its cameras and ends by itself."""
        self.is_gone = True
        self.end.close()

    def kill(self, wait_s: float = 0.0) -> None:
        """End the process, by force after ``wait_s`` seconds; idempotent."""
        self.dismiss()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
