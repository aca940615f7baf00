"""What the daemon tells systemd: one datagram per message, and nothing without systemd.

Written out because the protocol is one ``sendto`` and the packages for it lack
``EXTEND_TIMEOUT_USEC`` and the reload time stamp, which building an engine and a hot reload
need. See sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Sends state to the service manager.

    Args:
        environ: Environment of the process: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and
            ``WATCHDOG_PID`` as systemd sets them. Without the first nothing is sent.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # Linux's abstract namespace
        self._is_ready = False
        self.watchdog_s: float | None = None
        mine = environ.get("WATCHDOG_PID") in {None, str(os.getpid())}
        usec = environ.get("WATCHDOG_USEC", "")
        if self._address and mine and usec.isdigit() and int(usec) > 0:
            self.watchdog_s = int(usec) / 1e6

    def status(self, text: str) -> None:
        """Show ``text`` in ``systemctl status``; one line."""
        self._send("STATUS=" + " ".join(text.split()))

    def extend_timeout(self, text: str, *, extend_s: float = 60.0) -> None:
        """Show what start-up waits for, and ask for more time: a plan may take minutes.

        Args:
            text: One line.
            extend_s: From now on; to be asked for again before it is over.
        """
        extend_usec = round(extend_s * 1e6)
        self._send(f"STATUS={' '.join(text.split())}\nEXTEND_TIMEOUT_USEC={extend_usec}")

    def ready(self) -> None:
        """Start-up is over: units that wait for this one may start."""
        self._is_ready = True
        self._send("READY=1")

    def reloading(self) -> None:
        """A reload has begun; :meth:`reloaded` must follow, whether it succeeded or not."""
        if not self._is_ready:  # still a part of the start
            return
        # systemd tells by the time stamp that this message belongs to its own request.
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}")

    def reloaded(self) -> None:
        """A reload is over."""
        if self._is_ready:
            self.ready()

    def alive(self) -> None:
        """Feed the watchdog; to be called only while work moves."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.sendto(message.encode(), self._address)
        except OSError as exc:
            # Losing a notification must not stop the watch over the streets.
            logger.warning("cannot notify systemd: %s", exc.strerror)
