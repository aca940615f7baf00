"""What can be wrong with a camera's pictures; and the list of all faults by name.

Every behaviour is deterministic: what is random comes from a generator with a fixed seed.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from lsm_monitor.demo.clip import TICKS_PER_S, AccessUnit, Clip, encode_clip
from lsm_monitor.demo.rtp import interleave
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_server import RtspServer
from tests import rtsp_faults
from tests.rtsp_faults import Behaviour

_RTP_HEADER_BYTES = 12


def garbage_bytes() -> Behaviour:
    """Send random bytes where packets should be."""

    class Garbage(RtspConnection):
        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            del unit
            self._writer.write(random.Random(pts_ticks).randbytes(2000))  # noqa: S311 - noise
            await self._writer.drain()

    return Garbage


def corrupted(*, one_byte_in: int = 40) -> Behaviour:
    """Send pictures in which bytes are wrong, as a bad cable does."""

    class Corrupting(RtspConnection):
        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            randomness = random.Random(pts_ticks)  # noqa: S311 - noise
            await super().send(_with(unit, lambda nal: damaged(nal, randomness)), pts_ticks)

    def damaged(nal: bytes, randomness: random.Random) -> bytes:
        data = bytearray(nal)
        for _ in range(len(nal) // one_byte_in):
            data[randomness.randrange(1, len(nal))] = randomness.randrange(256)
        return bytes(data)

    return Corrupting


def truncated() -> Behaviour:
    """Send only the first half of every packet."""

    class Truncating(RtspConnection):
        def packets(self, unit: AccessUnit, timestamp_ticks: int) -> Iterator[bytes]:
            for packet in super().packets(unit, timestamp_ticks):
                yield packet[: _RTP_HEADER_BYTES + (len(packet) - _RTP_HEADER_BYTES) // 2]

    return Truncating


def key_picture_only_every(seconds: float) -> Behaviour:
    """Send nothing but a key picture now and then."""

    class Thinning(RtspConnection):
        next_ticks = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if unit.is_key and pts_ticks >= self.next_ticks:
                self.next_ticks = pts_ticks + round(seconds * TICKS_PER_S)
                await super().send(unit, pts_ticks)

    return Thinning


def one_key_picture() -> Behaviour:
    """Send one key picture and then what follows from it: a GOP that never ends."""

    class LongGop(RtspConnection):
        has_begun = False

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.has_begun and unit.is_key:
                return
            self.has_begun = True
            await super().send(unit, pts_ticks)

    return LongGop


def flood(*, speed_up: float = 1.0) -> Behaviour:
    """Send as fast as the socket takes it; timestamps go ``speed_up`` times as fast."""

    class Flooding(RtspConnection):
        async def _play(self) -> None:
            clip = self._server.clip
            index = self._server.joining_index()
            try:
                while True:
                    rounds, in_round = divmod(index, len(clip.access_units))
                    unit = clip.access_units[in_round]
                    ticks = rounds * clip.duration_ticks + unit.pts_ticks
                    await self.send(unit, round(ticks * speed_up))
                    index += 1
                    await asyncio.sleep(0)
            except OSError:
                self._writer.transport.abort()

    return Flooding


def flood_of(data: bytes, *, after: int = 2) -> Behaviour:
    """Send so many pictures, then ``data`` again and again as fast as the socket takes it."""

    class FloodingWithData(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.sent < after:
                self.sent += 1
                await super().send(unit, pts_ticks)
                return
            while True:
                self._writer.write(data)
                await self._writer.drain()
                await asyncio.sleep(0)

    return FloodingWithData


def retimed(ticks: Callable[[int, int], int]) -> Behaviour:
    """Send the ``n``-th picture with the time ``ticks(n, right_time)``."""

    class Retiming(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            self.sent += 1
            await super().send(unit, ticks(self.sent, pts_ticks))

    return Retiming


def with_reports(ntp_seconds: Sequence[int]) -> Behaviour:
    """Send a sender report (RTCP) before each key picture, with these times in turn."""

    class Reporting(RtspConnection):
        reports = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if unit.is_key:
                ntp_s = ntp_seconds[min(self.reports, len(ntp_seconds) - 1)] + self.reports
                self.reports += 1
                ticks = self._clock_base_ticks + pts_ticks & 0xFFFFFFFF
                times = (self.counter.ssrc, ntp_s & 0xFFFFFFFF, 0, ticks, 1, 1)
                report = struct.pack("!BBHIIIIII", 0x80, 200, 6, *times)
                self._writer.write(interleave(report, (self._channel or 0) + 1))
            await super().send(unit, pts_ticks)

    return Reporting


def shows(clip: Clip) -> Behaviour:
    """Show another clip than the camera's own, from the beginning."""

    def make(
        server: RtspServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> RtspConnection:
        other = _OtherView(server, clip)
        return RtspConnection(other, reader, writer)

    return make


class _OtherView(RtspServer):
    """The same camera at the same address, as far as a connection asks, with another clip."""

    def __init__(self, server: RtspServer, clip: Clip) -> None:
        super().__init__(clip, login=server.login, pace=server.pace)
        self.nonce = server.nonce
        self._seen_as = server

    @property
    def url(self) -> str:
        return self._seen_as.url

    def serves(self, url: str) -> bool:
        return self._seen_as.serves(url)


def changes_to(clip: Clip, *, after: int) -> Behaviour:
    """Go over to another clip in mid-stream: as when someone changes the resolution."""

    class Changing(RtspConnection):
        sent = 0

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            if self.sent >= after:
                units = clip.access_units
                unit = units[(self.sent - after) % len(units)]
            self.sent += 1
            await super().send(unit, pts_ticks)

    return Changing


@lru_cache(maxsize=4)
def small_clip(width_px: int = 320, height_px: int = 240) -> Clip:
    """Return two seconds of a moving street at 5 pictures/s, a key picture per second."""
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    images = []
    for index in range(10):
        wave = 120 + 60 * np.sin((x + 3 * index) / 9.0) + 40 * np.cos(y / 11.0)
        image = np.stack([wave, wave * 0.8, 255 - wave], axis=-1)
        images.append(image.clip(0, 255).astype(np.uint8))
    return encode_clip(images, fps=5)


def _with(unit: AccessUnit, change: Callable[[bytes], bytes]) -> AccessUnit:
    return dataclasses.replace(unit, nal_units=tuple(change(nal) for nal in unit.nal_units))


_HOUR_TICKS = 3600 * TICKS_PER_S

FAULTS: dict[str, Callable[[], Behaviour]] = {
    "hang": rtsp_faults.silent,
    "hang_in_describe": lambda: rtsp_faults.hang_in("DESCRIBE"),
    "hang_in_stream": lambda: rtsp_faults.stall_after(7),
    "close": lambda: rtsp_faults.hang_up_after(7),
    "unauthorized": lambda: rtsp_faults.answer_with(401),
    "not_found": lambda: rtsp_faults.answer_with(404),
    "no_bandwidth": lambda: rtsp_faults.answer_with(453, "SETUP"),
    "silent": lambda: rtsp_faults.stall_after(0),
    "garbage_bytes": garbage_bytes,
    "corrupted": corrupted,
    "truncated": truncated,
    "slow": lambda: key_picture_only_every(5.0),
    "4k": lambda: shows(small_clip(3840, 2160)),
    "flood": flood,
    "flood_in_time": lambda: flood(speed_up=0.001),
    "flood_of_answers": lambda: flood_of(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n" * 500),
    "flood_of_strangers": lambda: flood_of(interleave(b"\x80" * 1400, 77) * 40),
    "slow_loris": rtsp_faults.slow_loris,
    "endless_headers": rtsp_faults.endless_headers,
    "redirect": rtsp_faults.redirect,
    "wrong_sdp": rtsp_faults.wrong_sdp,
    "long_gop": one_key_picture,
    "time_back": lambda: retimed(lambda n, right: right - (n > 7) * _HOUR_TICKS),
    "time_jump": lambda: retimed(lambda n, right: right + (n > 7) * _HOUR_TICKS),
    "time_repeats": lambda: retimed(lambda n, right: right if n <= 7 else 7 * 9000),
    "new_size": lambda: changes_to(small_clip(480, 272), after=7),
}
"""Every fault by its name; ``refuse`` is not one of them: a closed port answers nobody."""
