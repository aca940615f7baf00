"""What runs in a capture process: ``python -m lsm_monitor.runtime.capture_process``.

Not for people: the daemon starts it. The argument is the descriptor of one end of a pair of
sockets. Its log goes to the daemon's stderr, as the daemon orders.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

from lsm_monitor.capture import wire
from lsm_monitor.capture.redact import Redactor
from lsm_monitor.capture.worker import CaptureWorker
from lsm_monitor.clock import SystemClock
from lsm_monitor.runtime import logs

COMMAND = (sys.executable, "-m", __name__)
"""Command line that starts a capture process, but for the descriptor."""

_LESS_URGENT = 5


class _Secrets:
    """Cleans text of all passwords that became known so far."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._redactor = Redactor(())

    def add(self, secret: str) -> None:
        if secret not in self._secrets:
            self._secrets.add(secret)
            self._redactor = Redactor(self._secrets)

    def redact(self, text: str) -> str:
        return self._redactor.redact(text)


def main(arguments: Sequence[str]) -> None:
    """Live as a capture process until the daemon is gone."""
    (descriptor,) = arguments
    # Ctrl-C and systemd's stop go to the whole group; when to stop is the daemon's decision.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # The model first: a camera that floods must not take the cores from all the others.
    with contextlib.suppress(OSError):
        os.nice(_LESS_URGENT)
    secrets = _Secrets()

    def log_as(order: wire.LogAs) -> None:
        logs.configure(level=order.level, fmt=order.format, redact=secrets.redact)

    log_as(wire.LogAs())  # until it is told
    end = socket.socket(fileno=int(descriptor))
    CaptureWorker(end, on_secret=secrets.add, on_log_as=log_as, clock=SystemClock()).run()
    # Threads may still hang in native code, which is why this is a process.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
