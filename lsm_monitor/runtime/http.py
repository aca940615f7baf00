"""The HTTP port as a service of the daemon: binds, serves, stops.

The server runs on the daemon's own event loop on purpose: an answer from ``/healthz`` proves
that the loop turns. A port that cannot be had costs the port, never the watch over the
streets: the supervisor tries again for as long as the daemon runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator

import psutil
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from lsm_monitor.config.models import HttpConfig
from lsm_monitor.errors import HttpPortError
from lsm_monitor.runtime.tls import Certificate

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS = 512
"""Beyond it everybody gets 503, health checks, too: far more than pages may be open."""
_MAX_HEADER_BYTES = 16 * 1024
_IDLE_TIMEOUT_S = 10
_STOP_TIMEOUT_S = 2
_LOOK_AT_CERTIFICATE_S = 60.0


class HttpService:
    """Serves ``app`` until cancelled.

    Args:
        app: What to answer.
        config: Where to listen.
        on_listening: Told the port once it is open: for a configured port 0, the one that the
            system chose.

    Raises:
        ConfigError: The certificate cannot be used.
    """

    name = "http"

    def __init__(
        self,
        app: FastAPI,
        config: HttpConfig,
        *,
        on_listening: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._config = config
        self._certificate = Certificate.of(config)
        self._on_listening = on_listening

    async def run(self) -> None:
        """Serve; cancelling closes the port and every connection.

        Raises:
            HttpPortError: The port cannot be had; the text names the key and the remedy.
        """
        with contextlib.closing(_bound(self._config)) as listener:
            port = listener.getsockname()[1]
            logger.info("http: listening on %s port %d", self._config.host, port)
            self._on_listening(port)
            server = _Server(_server_config(self._app, self._config, self._certificate))
            serving = asyncio.create_task(server.serve([listener]), name="http-server")
            try:
                await _served(serving, self._certificate)
            finally:
                server.should_exit = True
                await serving


async def _served(serving: asyncio.Task[None], certificate: Certificate | None) -> None:
    """Return when the server does; until then, keep its certificate fresh."""
    while not serving.done():
        await asyncio.wait([serving], timeout=_LOOK_AT_CERTIFICATE_S)
        if certificate is not None:
            await asyncio.to_thread(certificate.refresh)
    serving.result()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the daemon has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen as uvicorn does, but do not wait a minute for a TLS handshake."""
        config, loop = self.config, asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return _Protocol(config, self.server_state, app_state={})

        self.servers = [
            await loop.create_server(
                protocol,
                sock=listener,
                ssl=config.ssl,
                ssl_handshake_timeout=_IDLE_TIMEOUT_S if config.ssl else None,
                backlog=config.backlog,
            )
            for listener in sockets or ()
        ]
        self.started = True


class _Protocol(H11Protocol):
    """One connection whose client may neither stay silent nor stop reading.

    uvicorn limits the time between two requests only: clients that send half a header, or do
    not take their answer, would keep their connections for ever, and ``_MAX_CONNECTIONS`` of
    them would keep everybody else out.
    """

    _deadline: asyncio.TimerHandle | None = None
    _has_read: bool = False
    _unread_bytes: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if len(self.connections) > 2 * _MAX_CONNECTIONS:
            # Not even a 503: each is a file, and the cameras and the outbox need theirs.
            transport.abort()
        self._deadline = self.loop.call_later(_IDLE_TIMEOUT_S, self._end_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client has taken what was waiting: it is slow, not gone."""
        self._has_read = True
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer nonsense; in the middle of a request, hang up instead.

        uvicorn would answer twice there, and log the second answer's failure as a fault.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            super().send_400_response(msg)
            return
        cycle.disconnected = True
        cycle.message_event.set()
        self.transport.abort()

    def _end_if_idle(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's annotation forgets None
        is_answering = cycle is not None and not cycle.response_complete
        is_between_requests = self.timeout_keep_alive_task is not None  # uvicorn's own limit
        if self._does_not_read() or not (is_answering or is_between_requests):
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(_IDLE_TIMEOUT_S, self._end_if_idle)

    def _does_not_read(self) -> bool:
        """Return whether nothing of what waits for the client went since the last look."""
        is_waiting = self.flow.write_paused
        unread_bytes = self.transport.get_write_buffer_size() if is_waiting else None
        before, self._unread_bytes = self._unread_bytes, unread_bytes
        has_read, self._has_read = self._has_read, False
        if unread_bytes is None or before is None:
            return False
        return not has_read and unread_bytes >= before


def _server_config(
    app: FastAPI, config: HttpConfig, certificate: Certificate | None
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(config.trusted_proxies),
        forwarded_allow_ips=list(config.trusted_proxies),
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
        limit_concurrency=_MAX_CONNECTIONS,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_keep_alive=_IDLE_TIMEOUT_S,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
    )


def _bound(config: HttpConfig) -> socket.socket:
    """Return a socket that is bound to the configured address."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(_MAX_CONNECTIONS)
    except OSError as exc:
        listener.close()
        who = _owner_of(config.port)
        msg = (
            f"http: cannot listen on {config.host} port {config.port} ({exc.strerror}"
            f"{f'; {who} has it' if who else ''}); set 'http.port' to a free one, or "
            "'http.enabled: false'"
        )
        raise HttpPortError(msg) from None
    return listener


def _owner_of(port: int) -> str | None:
    """Return name and id of the process that listens on ``port``, when it can be known."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid is not None
            if listens and connection.laddr[1:2] == (port,):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        return None  # other users' sockets are not ours to see
    return None
