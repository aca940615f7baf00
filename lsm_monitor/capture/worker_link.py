"""The daemon's end of one capture process: starts it, speaks with it, ends it."""

from __future__ import annotations

import errno
import logging
import mmap
import subprocess
from collections import deque
from collections.abc import Sequence

from lsm_monitor.capture import wire
from lsm_monitor.clock import Clock

logger = logging.getLogger(__name__)

_MOST_UNSENT = 10_000
"""Bound of the queue of orders; a camera has a handful, and a process 250 cameras at most."""


_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
"""Says nothing about the process: this one has no file or memory left for now."""


class WorkerLink:
    """A running capture process. Owned by one thread.

    Attributes:
        end: This side's socket; it never blocks.
        heard_s: When the process was heard last, on the monotonic clock.
        is_gone: Whether its end of the pair is closed, or it reads no orders any more.

    Args:
        command: Command line; the descriptor of its end is appended.
        clock: Time of the beats.

    Raises:
        OSError: The machine gives no socket or no process.
    """

    def __init__(self, command: Sequence[str], *, clock: Clock) -> None:
        self.end, theirs = wire.pair()
        self._clock = clock
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    [*command, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                )
        except OSError:
            self.end.close()
            raise
        self.end.settimeout(0)
        # Importing what it needs takes a process a second, more on a busy machine.
        self.heard_s = clock.monotonic_s()
        self.has_beaten = False
        self._unsent: deque[tuple[wire.Order, bytes | None]] = deque()
        self.is_gone = False

    def order(self, order: wire.Order, memory: bytes | None = None) -> None:
        """Tell the process what to do; never blocks.

        Args:
            order: What to do.
            memory: Goes beside it.
        """
        if not self.is_gone:
            self._unsent.append((order, memory))
            self.flush()

    def flush(self) -> None:
        """Send the orders that wait, as far as the process reads them.

        A process that is being started, or is stuck, reads none. Who gives it too many counts
        it as gone. Orders with memory beside them need a file of ours: without one they wait.
        """
        try:
            while self._unsent and not self.is_gone:
                order, memory = self._unsent[0]
                wire.send(self.end, order, None if memory is None else memoryview(memory))
                self._unsent.popleft()
        except OSError as exc:
            may_go = isinstance(exc, BlockingIOError) or exc.errno in _SHORT_OF
            self.is_gone = not may_go or len(self._unsent) > _MOST_UNSENT

    def take(self) -> tuple[wire.News, mmap.mmap | None] | None:
        """Return the next news, or ``None`` when there is none now, or none any more."""
        if self.is_gone:
            return None
        try:
            received = wire.receive(self.end)
        except BlockingIOError:
            return None
        except (OSError, ValueError) as exc:
            # ValueError: not one of our messages; after an upgrade, from another version.
            logger.error("a capture process cannot be understood: %s", type(exc).__name__)  # noqa: TRY400 - its text may hold what was sent
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

    def has_ended(self) -> bool:
        """Return whether the process is no more; never waits, whatever it hangs in."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process by force; see :meth:`has_ended`."""
        self._process.kill()
