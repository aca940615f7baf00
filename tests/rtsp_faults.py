"""A street camera on loopback that fails in the ways real cameras fail; how it answers.

What can be wrong with the pictures themselves is in :mod:`tests.rtsp_stream_faults`.

    with FaultyCamera(clip, [hang_up_after(5), stall_after(3), healthy]) as camera:
        ...open camera.url...
        camera.wait_for_connections(2, timeout_s=5.0)

The list says how each connection behaves, in the order in which they come; the last entry
holds for all that follow. A player that asks again with a password, or for TCP instead of
UDP, does so on the same connection.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from lsm_monitor.demo.clip import AccessUnit, Clip
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.demo.rtsp_wire import Login, Request, Response

_AUDIO_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=Microphone\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    b"m=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=control:track0\r\n"
)

Behaviour = Callable[[RtspServer, asyncio.StreamReader, asyncio.StreamWriter], RtspConnection]

healthy: Behaviour = RtspConnection


def stall_after(pictures: int) -> Behaviour:
    """Send so many pictures, then keep the connection open and send nothing more."""

    class Stalling(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.sent == pictures:
                await asyncio.Event().wait()
            self.sent += 1
            await super().send(unit, pts_ticks)

    return Stalling


def hang_up_after(pictures: int) -> Behaviour:
    """Send so many pictures, then close the connection."""

    class HangingUp(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.sent == pictures:
                self._writer.close()
                await asyncio.Event().wait()
            self.sent += 1
            await super().send(unit, pts_ticks)

    return HangingUp


def garbage_after(pictures: int) -> Behaviour:
    """Send so many pictures, then random bytes in well-formed RTP packets."""

    class Garbling(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.sent >= pictures:
                # The NAL header stays, or a depacketizer would drop it before any decoder.
                noise = tuple(nal[:1] + secrets.token_bytes(600) for nal in unit.nal_units)
                unit = AccessUnit(noise, unit.pts_ticks, unit.is_key)
            self.sent += 1
            await super().send(unit, pts_ticks)

    return Garbling


def hang_in(method: str) -> Behaviour:
    """Never answer ``method``, such as DESCRIBE or SETUP."""

    class Hanging(RtspConnection):
        async def answer(self, request: Request) -> Response:
            if request.method == method:
                await asyncio.Event().wait()
            return await super().answer(request)

    return Hanging


def answer_with(status: int, method: str = "DESCRIBE") -> Behaviour:
    """Answer ``method`` with an error, such as 404 or 500."""

    class Refusing(RtspConnection):
        async def answer(self, request: Request) -> Response:
            if request.method == method:
                return Response(status)
            return await super().answer(request)

    return Refusing


def only_audio() -> Behaviour:
    """Describe a stream without video."""

    class Microphone(RtspConnection):
        async def answer(self, request: Request) -> Response:
            response = await super().answer(request)
            if request.method == "DESCRIBE":
                return Response(200, response.headers, _AUDIO_SDP)
            return response

    return Microphone


def silent() -> Behaviour:
    """Accept the connection and never say a word."""

    class Silent(RtspConnection):
        async def run(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await self._hang_up()

    return Silent


def clock_starts_at(ticks: int) -> Behaviour:
    """Begin the RTP clock there and not somewhere."""

    class Starting(RtspConnection):
        def __init__(
            self,
            server: RtspServer,
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
        ) -> None:
            super().__init__(server, reader, writer)
            self._clock_base_ticks = ticks

    return Starting


def wrong_sdp() -> Behaviour:
    """Describe the stream in words that are no session description."""

    class Babbling(RtspConnection):
        def description(self) -> bytes:
            return b"v=0\r\nm=video\r\na=rtpmap:\r\n\x00\xff not SDP at all\r\n"

    return Babbling


def redirect(to: str | None = None) -> Behaviour:
    """Answer DESCRIBE with "moved": to another address, or here again, for ever."""

    class Moving(RtspConnection):
        async def answer(self, request: Request) -> Response:
            if request.method == "DESCRIBE":
                return Response(301, {"Location": to or self._server.url})
            return await super().answer(request)

    return Moving


def slow_loris(every_s: float = 1.0) -> Behaviour:
    """Answer, but one byte at a time."""

    class SlowLoris(RtspConnection):
        async def run(self) -> None:
            try:
                for byte in b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: DESCRIBE\r\n\r\n":
                    self._writer.write(bytes([byte]))
                    await self._writer.drain()
                    await asyncio.sleep(every_s)
            except OSError:
                pass  # the client is gone, as it should be
            finally:
                await self._hang_up()

    return SlowLoris


def endless_headers() -> Behaviour:
    """Answer with header after header."""

    class Endless(RtspConnection):
        async def run(self) -> None:
            try:
                self._writer.write(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n")
                while True:
                    self._writer.write(b"X-More: and more\r\n" * 10)
                    await self._writer.drain()
                    await asyncio.sleep(0.01)
            except OSError:
                pass  # the client is gone, as it should be
            finally:
                await self._hang_up()

    return Endless


class FaultyCamera(RtspServer):
    """An :class:`RtspServer` whose n-th connection behaves as the n-th entry says.

    ``stop`` and ``start`` again, on the same port, are a camera that loses its power: in
    between, connections are refused.
    """

    def __init__(
        self,
        clip: Clip,
        behaviours: Sequence[Behaviour] = (healthy,),
        *,
        login: Login | None = None,
        pace: float = 1.0,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(clip, login=login, pace=pace, certificate=certificate)
        self._behaviours = list(behaviours)
        self._count = 0
        self._first = 0
        self._changed = threading.Condition()

    @property
    def connections(self) -> int:
        """Number of connections so far."""
        with self._changed:
            return self._count

    def become(self, *behaviours: Behaviour) -> None:
        """Behave like this from now on: connections end, and the next ones are the first."""
        with self._changed:
            self._behaviours = list(behaviours)
            self._first = self._count
        self.drop_connections()

    def wait_for_connections(self, count: int, *, timeout_s: float) -> None:
        """Return once there have been ``count`` connections; fails the test otherwise."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._count >= count, timeout_s), (
                f"{self._count} of {count} connections after {timeout_s:g} s"
            )

    def make_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> RtspConnection:
        with self._changed:
            index = min(self._count - self._first, len(self._behaviours) - 1)
            behaviour = self._behaviours[index]
            self._count += 1
            self._changed.notify_all()
        return behaviour(self, reader, writer)
