"""One HTTP(S) connection whose whole answer must come within one deadline.

Python's own HTTP and not a bigger library, for one reason: none of those can say how long the
*whole* of an answer may take. A time-out that begins anew with every byte lets a camera that
sends one byte per second hold a thread for hours. Here every byte is read under one deadline.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from lsm_monitor.clock import Clock


class Origin(NamedTuple):
    """Who is talked to: what a browser calls an origin."""

    scheme: str
    host: str
    port: int


class Deadline:
    """Until when the answer of one connection must be there; the monotonic clock's seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at_s = 0.0

    def allow(self, seconds: float) -> None:
        """Let it end in ``seconds``."""
        self._at_s = self._clock.monotonic_s() + seconds

    def remaining_s(self) -> float:
        """Return how long it still lasts.

        Raises:
            TimeoutError: It is over.
        """
        remaining_s = self._at_s - self._clock.monotonic_s()
        if remaining_s <= 0.0:
            raise TimeoutError
        return remaining_s


class _TimedReader(io.RawIOBase):
    """A socket's bytes, each read under the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        # A socket with a file on it stays open until both are closed, as http.client expects.
        self._raw = connection.makefile("rb", buffering=0)
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override] # narrower
        self._connection.settimeout(self._deadline.remaining_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedSocket:
    """What :class:`http.client.HTTPResponse` needs of a socket."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._connection, self._deadline), 65536)


def _response(
    deadline: Deadline, connection: socket.socket, **how: object
) -> http.client.HTTPResponse:
    timed = _TimedSocket(connection, deadline)
    return http.client.HTTPResponse(timed, **how)  # type: ignore[arg-type] # the part it uses


class Connection:
    """One TCP or TLS connection to one origin."""

    def __init__(self, origin: Origin, context: ssl.SSLContext, clock: Clock) -> None:
        self.origin = origin
        self.deadline = Deadline(clock)
        self.is_reused = False
        self.response: http.client.HTTPResponse | None = None
        self.http = (
            http.client.HTTPSConnection(origin.host, origin.port, context=context)
            if origin.scheme == "https"
            else http.client.HTTPConnection(origin.host, origin.port)
        )
        self.http.response_class = partial(_response, self.deadline)  # type: ignore[assignment] # a callable will do

    def exchange(self, target: str, headers: Mapping[str, str], *, timeout_s: float) -> None:
        """Send a GET and read the head of the answer."""
        self.deadline.allow(timeout_s)
        self.http.timeout = timeout_s
        if self.http.sock is not None:
            self.http.sock.settimeout(timeout_s)
        self.http.request("GET", target, headers=dict(headers))
        self.response = self.http.getresponse()

    def can_be_reused(self) -> bool:
        """Return whether the answer was read to its end, and the server did not hang up."""
        response = self.response
        if response is None or not (response.isclosed() or response.length == 0):
            return False
        response.close()
        self.is_reused = True
        return self.http.sock is not None

    def close(self) -> None:
        """Hang up; idempotent."""
        if self.response is not None:
            self.response.close()
        self.http.close()
