"""What hostile bytes can reach through sockets: the HTTP port, and the command that asks it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from lsm_monitor.commands.status import describe, fetch_status
from lsm_monitor.errors import DaemonUnreachableError
from tests.fuzz.canned import CannedServer
from tests.fuzz.harness import BrokenPromiseError, Target
from tests.http_daemon import HttpDaemon
from tests.served import Served

NOW = datetime(2026, 7, 1, tzinfo=UTC)
_ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_HTTP_WORDS = (
    b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: upgrade\r\nUpgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"Accept: application/openmetrics-text\r\n",
    b"HTTP/2.0",
    b"OPTIONS * ",
    b"CONNECT a:1 ",
    b"HEAD ",
    b"%00",
    b"%2e%2e/",
)


@contextmanager
def http_target() -> Iterator[Target]:
    """The HTTP port: raw bytes to the real server, which must go on answering."""
    with HttpDaemon() as daemon, bombarded(daemon) as run:
        get = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        seeds = [get % path for path in (b"healthz", b"readyz", b"metrics", b"openapi.json")]
        post = b"POST /api/stats HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        put = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        put += b"2\r\nab\r\n0\r\n\r\n"
        yield Target("http", (*seeds, post, put, seeds[0] * 3), run, (), _HTTP_WORDS)


class Errors(logging.Handler):
    """Keeps what the server's libraries report as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage() + repr(record.exc_info))


@contextmanager
def bombarded(served: Served) -> Iterator[Callable[[bytes], None]]:
    """Yield what sends bytes to a port, and sees if it reports an error or falls silent."""
    errors, sent = Errors(), 0
    libraries = [logging.getLogger(name) for name in ("asyncio", "uvicorn")]

    def run(data: bytes) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionError):  # it may hang up, not fall silent
            served.send(data)
        sent += 1
        if errors.texts:
            raise BrokenPromiseError(errors.texts.pop())
        if sent % 500 == 0 and not served.send(_ALIVE).startswith(b"HTTP/1.1 200 "):
            msg = "the server does not answer any more"
            raise BrokenPromiseError(msg)

    for library in libraries:
        library.addHandler(errors)
    try:
        yield run
    finally:
        for library in libraries:
            library.removeHandler(errors)


@contextmanager
def status_target() -> Iterator[Target]:
    """What ``lsm-monitor status`` is told by whoever listens on the port."""
    with HttpDaemon() as daemon:
        request = b"GET /api/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = daemon.send(request, and_hang_up=False)
    with CannedServer() as server:

        def run(data: bytes) -> None:
            server.script = data
            stats, _ = fetch_status("127.0.0.1", server.port)
            for line in describe(stats, NOW):
                assert line.isprintable()

        allowed = (DaemonUnreachableError,)
        yield Target("status", (answer,), run, allowed, (b"chunked", b"HTTP/1.0 200 ", b"[]"))
