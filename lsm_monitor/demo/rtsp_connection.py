"""One client of the demo's camera: reads its requests, answers them, and sends pictures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lsm_monitor.demo.clip import AccessUnit
from lsm_monitor.demo.rtp import RtpCounter, interleave, packetize
from lsm_monitor.demo.rtsp_wire import (
    Request,
    Response,
    RtspSyntaxError,
    parse_request,
    sdp,
)

if TYPE_CHECKING:
    from lsm_monitor.demo.rtsp_server import RtspServer  # it imports us

logger = logging.getLogger(__name__)

_IDLE_TIMEOUT_S = 60.0
_SEND_TIMEOUT_S = 10.0
_MAX_BODY_BYTES = 4096


class RtspConnection:
    """Serves one client until it leaves, goes silent, or sends what is not RTSP."""

    def __init__(
        self,
        server: RtspServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._session_id = secrets.token_hex(8)
        self._channel: int | None = None
        self.counter = RtpCounter(ssrc=secrets.randbits(32), sequence=secrets.randbits(16))
        self._clock_base_ticks = secrets.randbits(32)
        self._player: asyncio.Task[None] | None = None
        self._methods = {
            "DESCRIBE": self._describe,
            "SETUP": self._set_up,
            "PLAY": self._in_session,
            "GET_PARAMETER": self._in_session,
            "TEARDOWN": self._in_session,
        }

    async def run(self) -> None:
        """Answer until the connection ends; never raises but on cancellation."""
        try:
            while (request := await self._next_request()) is not None:
                response = await self.answer(request)
                cseq = request.headers["cseq"]
                self._writer.write(response.encode(cseq))
                await self._writer.drain()
                if request.method == "PLAY" and response.status == 200:  # noqa: PLR2004
                    self._start_playing()
                if request.method == "TEARDOWN":
                    break
        except RtspSyntaxError as exc:
            logger.info("a client sent what is not RTSP (%s); hung up", exc)
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError, OSError) as exc:
            logger.debug("a client left or sent too much (%s)", type(exc).__name__)
        finally:
            await self._hang_up()

    async def answer(self, request: Request) -> Response:
        """Return the response to ``request``."""
        login = self._server.login
        if request.method == "OPTIONS":
            return Response(200, {"Public": ", ".join(["OPTIONS", *self._methods])})
        if login is not None and not login.accepts(request, self._server.nonce):
            return Response(401, {"WWW-Authenticate": login.challenge(self._server.nonce)})
        if not self._server.serves(request.url):
            return Response(404)
        method = self._methods.get(request.method)
        return Response(501) if method is None else method(request)

    def description(self) -> bytes:
        """Return the SDP of the stream."""
        return sdp(self._server.clip)

    def packets(self, unit: AccessUnit, timestamp_ticks: int) -> Iterator[bytes]:
        """Yield the RTP packets of one picture."""
        return packetize(unit.nal_units, timestamp_ticks=timestamp_ticks, counter=self.counter)

    def _describe(self, _: Request) -> Response:
        headers = {
            "Content-Type": "application/sdp",
            "Content-Base": f"{self._server.url}/",
        }
        return Response(200, headers, self.description())

    def _set_up(self, request: Request) -> Response:
        transport = request.headers.get("transport", "")
        channel = re.search(r"interleaved=(\d{1,3})", transport)
        if "RTP/AVP/TCP" not in transport or channel is None or int(channel[1]) > 254:  # noqa: PLR2004 - one byte, and RTCP takes the next
            return Response(461)
        if self._player is not None:
            return Response(455)
        self._channel = int(channel[1])
        chosen = f"RTP/AVP/TCP;unicast;interleaved={self._channel}-{self._channel + 1}"
        session = f"{self._session_id};timeout={_IDLE_TIMEOUT_S:.0f}"
        return Response(200, {"Transport": chosen, "Session": session})

    def _in_session(self, request: Request) -> Response:
        if request.method == "GET_PARAMETER" and "session" not in request.headers:
            return Response(200)
        if request.headers.get("session", "").split(";")[0] != self._session_id:
            return Response(454)
        if self._channel is None:
            return Response(455)
        headers = {"Session": self._session_id}
        if request.method == "PLAY":
            headers["Range"] = "npt=now-"
        return Response(200, headers)

    async def _next_request(self) -> Request | None:
        """Return the next request, or ``None`` at the end; RTCP from the client is skipped."""
        # A client that plays may be silent: it shows that it lives by taking the pictures.
        patience_s = None if self._player is not None else _IDLE_TIMEOUT_S
        async with asyncio.timeout(patience_s):
            while (first := await self._reader.read(1)) == b"$":
                header = await self._reader.readexactly(3)
                await self._reader.readexactly(int.from_bytes(header[1:], "big"))
            if not first:
                return None
            head = first + await self._reader.readuntil(b"\r\n\r\n")
            request = parse_request(head)
            await self._skip_body(request)
        return request

    async def _skip_body(self, request: Request) -> None:
        length = request.headers.get("content-length", "0")
        if not re.fullmatch(r"\d{1,9}", length) or int(length) > _MAX_BODY_BYTES:
            msg = "the body is too long"
            raise RtspSyntaxError(msg)
        await self._reader.readexactly(int(length))

    def _start_playing(self) -> None:
        if self._player is None:
            self._player = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        """Send pictures as they fall due, until cancelled or the client stops reading."""
        clip = self._server.clip
        loop = asyncio.get_running_loop()
        index = self._server.joining_index()
        try:
            while True:
                rounds, in_round = divmod(index, len(clip.access_units))
                unit = clip.access_units[in_round]
                pts_ticks = rounds * clip.duration_ticks + unit.pts_ticks
                await asyncio.sleep(self._server.due_s(pts_ticks) - loop.time())
                await self.send(unit, pts_ticks)
                index += 1
        except OSError as exc:
            logger.debug("a client is gone (%s)", type(exc).__name__)
            self._writer.transport.abort()  # ends the reading side too

    async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
        """Send one picture; waits while the client's buffer is full.

        Raises:
            OSError: The client is gone, or has not read for ``_SEND_TIMEOUT_S``.
        """
        assert self._channel is not None  # noqa: S101 - PLAY is refused before SETUP
        timestamp_ticks = self._clock_base_ticks + pts_ticks
        for packet in self.packets(unit, timestamp_ticks):
            self._writer.write(interleave(packet, self._channel))
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await self._writer.drain()

    async def _hang_up(self) -> None:
        # Abort and not close: closing would wait for a client that no longer reads. And first
        # of all: a stop of the server may cancel the waits below.
        self._writer.transport.abort()
        if self._player is not None:
            self._player.cancel()
            await asyncio.wait([self._player])
        with contextlib.suppress(OSError):  # how it ended was logged where it was noticed
            await self._writer.wait_closed()
