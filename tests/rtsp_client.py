"""What the tests of the demo's camera share: a clip, a player, and RTSP by hand."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit

import av
import numpy as np

from lsm_monitor.demo.clip import Clip, encode_clip

PICTURES = 12
FPS = 4
PACE = 20.0
TIMEOUT_S = 5.0


def grey_clip() -> Clip:
    """Return a clip whose picture ``i`` is a flat grey of ``20 * i``; every fourth is key."""
    images = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(PICTURES)]
    return encode_clip(images, fps=FPS)


def play(url: str, *, transport: str = "tcp") -> Iterator[tuple[float, int]]:
    """Yield time in seconds and number (0 to 11) of each picture, as a player sees them."""
    options = {"rtsp_transport": transport}
    with av.open(url, options=options, timeout=(TIMEOUT_S, TIMEOUT_S)) as container:
        stream = container.streams.video[0]
        assert stream.time_base
        for frame in container.decode(stream):
            # FFmpeg leaves the time of a stream's very first packet open.
            time_s = 0.0 if frame.pts is None else float(frame.pts * stream.time_base)
            yield time_s, round(float(frame.to_ndarray(format="gray").mean()) / 20)


def first_pictures(url: str, count: int) -> list[tuple[float, int]]:
    return list(itertools.islice(play(url), count))


class Client:
    """RTSP by hand."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.url = url
        self.socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, method: str, *headers: str, url: str | None = None) -> tuple[int, str]:
        """Send one request; return the status and everything else of the answer."""
        lines = [f"{method} {url or self.url} RTSP/1.0", "CSeq: 1", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        status = int(self._file.readline().split()[1])
        head = "".join(
            line.decode() for line in iter(self._file.readline, b"\r\n") if line.strip()
        )
        length = re.search(r"Content-Length: (\d+)", head)
        return status, head + self._file.read(int(length[1]) if length else 0).decode()

    def set_up(self) -> str:
        """Set the track up over TCP; return the session header to send from now on."""
        status, head = self.ask("SETUP", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
        assert status == 200
        session = re.search(r"Session: (\w+)", head)
        assert session is not None
        return f"Session: {session[1]}"

    def packet(self) -> bytes:
        """Return the next RTP packet; empty when the server has closed the connection."""
        header = self._file.read(4)
        return self._file.read(int.from_bytes(header[2:], "big"))

    def hung_up(self) -> bool:
        """Return whether the server closes the connection; waits at most ``TIMEOUT_S``."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True
