"""A street camera on loopback: a small RTSP server that plays one clip for ever.

RTP travels inside the RTSP connection (TCP); UDP is refused, and players then fall back to
TCP. The clip loops with timestamps that keep rising. Every client sees the same moment, as
with a real camera: the clip starts when the first client plays, and a later client joins at
the newest key picture.

It serves the demo and the tests, never a network: it binds 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import secrets
import socket
import ssl
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from lsm_monitor.demo.clip import TICKS_PER_S, Clip
from lsm_monitor.demo.loop_thread import LoopThread
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_wire import TRACK, Login

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
_CALL_TIMEOUT_S = 5.0
_MAX_HEAD_BYTES = 8192


class RtspServer:
    """Serves ``clip`` at ``url`` between ``start`` and ``stop``; also a context manager.

    Args:
        clip: What the camera sees.
        port: TCP port, 0 for a free one; kept when the server is started again.
        path: Path of the stream.
        login: Who is let in; ``None`` for everyone.
        pace: Speed, as a multiple of real time. Timestamps are not affected.
        certificate: PEM files of the certificate and its key: then it speaks RTSPS.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        port: int = 0,
        path: str = "/street",
        login: Login | None = None,
        pace: float = 1.0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.clip = clip
        self.login = login
        self.pace = pace
        self.nonce = secrets.token_hex(16)
        self._path = path
        self._port = port
        self._key_indices = [i for i, unit in enumerate(clip.access_units) if unit.is_key]
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.set_ciphers("DEFAULT:@SECLEVEL=0")  # an old camera's short key will do
            self._tls.load_cert_chain(*certificate)
        self._thread: LoopThread | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._started_s: float | None = None

    @property
    def url(self) -> str:
        """Address of the stream, without credentials; its port is known after ``start``."""
        scheme = "rtsp" if self._tls is None else "rtsps"
        return f"{scheme}://127.0.0.1:{self._port}{self._path}"

    def start(self) -> None:
        """Listen; returns when clients can connect.

        Raises:
            OSError: The port is taken.
        """
        listener = self.bind()
        self._thread = LoopThread(f"rtsp-server[{self._port}]")
        self._thread.start()
        self._thread.call(self.listen(listener), timeout_s=_CALL_TIMEOUT_S)

    def stop(self) -> None:
        """Hang up on every client, close the port and end the thread; idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.call(self.close(), timeout_s=_CALL_TIMEOUT_S)
            thread.stop()

    def drop_connections(self) -> None:
        """Hang up on every client; the port stays open."""
        if self._thread is not None:
            self._thread.call(self.hang_up(), timeout_s=_CALL_TIMEOUT_S)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serves(self, url: str) -> bool:
        """Return whether ``url`` names the stream or its track."""
        path = urlsplit(url).path.removesuffix("/").removesuffix(f"/{TRACK}")
        return path.removesuffix("/") == self._path

    def joining_index(self) -> int:
        """Return the position of the newest key picture, counting on over the rounds."""
        now_s = asyncio.get_running_loop().time()
        if self._started_s is None:
            self._started_s = now_s
        elapsed_ticks = int((now_s - self._started_s) * self.pace * TICKS_PER_S)
        rounds, in_round_ticks = divmod(elapsed_ticks, self.clip.duration_ticks)
        in_round = bisect.bisect_right(
            self._key_indices,
            in_round_ticks,
            key=lambda index: self.clip.access_units[index].pts_ticks,
        )
        return rounds * len(self.clip.access_units) + self._key_indices[in_round - 1]

    def due_s(self, pts_ticks: int) -> float:
        """Return the loop time at which the picture with ``pts_ticks`` is to be sent."""
        assert self._started_s is not None  # noqa: S101 - joining_index came before
        return self._started_s + pts_ticks / TICKS_PER_S / self.pace

    def make_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> RtspConnection:
        """Return what talks to one client; called on the server's loop."""
        return RtspConnection(self, reader, writer)

    def bind(self) -> socket.socket:
        """Return the port's socket; ``url`` is known from now on.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._started_s = None
        return listener

    async def listen(self, listener: socket.socket) -> None:
        """Serve on the running loop; ``start`` does it on a thread of its own."""
        self._server = await asyncio.start_server(
            self._accept, sock=listener, limit=_MAX_HEAD_BYTES, ssl=self._tls
        )

    async def hang_up(self) -> None:
        """End every connection; the port stays open."""
        if tasks := list(self._connections):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """End every connection and close the port."""
        self._server.close()
        await self.hang_up()
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            logger.warning("%s: more than %d connections; refused", self.url, MAX_CONNECTIONS)
            writer.transport.abort()
            return
        connection = self.make_connection(reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run(), name="rtsp-connection")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
