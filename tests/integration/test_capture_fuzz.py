"""Whatever a peer sends: a camera fails with a reason, or it gives pictures. Nothing else."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId
from tests.http_camera import jpeg

PASSWORD = "hunter2hunter2"


class Babbler:
    """Sends the same bytes to whoever connects, and hangs up."""

    def __init__(self) -> None:
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1.0)
                connection.recv(65536)
                connection.sendall(self.says)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture(scope="module")
def babbler() -> Iterator[Babbler]:
    with Babbler() as babbler:
        yield babbler


def outcome(url: str) -> str:
    """Return how reading it ended; nothing but a SourceError may come out."""
    spec = SourceSpec(
        CameraId("bridge"),
        url,
        "admin",
        SecretStr(PASSWORD),
        "tcp",
        "keyframes",
        interval_s=0.01,
        open_timeout_s=0.3,
        read_timeout_s=0.3,
    )
    failure: SourceError | None = None
    try:
        source = open_source(spec, metrics=Metrics(), clock=SystemClock())
        with contextlib.closing(source):
            for _ in itertools.islice(source.pictures(threading.Event()), 3):
                pass
    except SourceError as exc:
        failure = exc
    assert PASSWORD not in str(failure)
    return "pictures" if failure is None else failure.code


HTTP_WORDS = [
    b"HTTP/1.1 ",
    b"HTTP/9.9 ",
    b"200 OK\r\n",
    b"206 Part\r\n",
    b"401 Who\r\n",
    b"302 There\r\n",
    b"100 Continue\r\n\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Type: image/jpeg\r\n",
    b"Content-Type: multipart/x-mixed-replace; boundary=f\r\n",
    b"Content-Type: application/x-mpegurl\r\n",
    b"WWW-Authenticate: Digest realm=x, nonce=y\r\n",
    b"WWW-Authenticate: Digest \xff, Basic\r\n",
    b"WWW-Authenticate: Basic\r\n",
    b"Location: http://[\r\n",
    b"Location: //127.0.0.1:99999/\r\n",
    b"Location: /again\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"zz\r\n",
    b"--f\r\n\r\n",
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n",
    b"/segment.ts\n",
    b"\x00\xff\xfe",
    jpeg(1),
]
PNG = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
PLAYLIST = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\n\r\n"
    b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n"
)
RTSP_WORDS = [
    b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n",
    b"RTSP/1.0 401 Who\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm=x\r\n\r\n",
    b"RTSP/1.0 301 There\r\nCSeq: 1\r\nLocation: rtsp://127.0.0.1:1/\r\n\r\n",
    b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n",
    b"Content-Length: 60\r\n\r\n",
    b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    b"a=fmtp:96 sprop-parameter-sets=////,AAAA\r\na=control:x\r\n",
    b"Session: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
    b"$\x00\xff\xff",
    b"$\x00\x00\x0c\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01",
    b"\x00\xff\xfe",
    b"\r\n",
]


def speech(words: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.sampled_from(words) | st.binary(max_size=20), max_size=12).map(b"".join)


RELAXED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RELAXED
@given(says=speech(HTTP_WORDS))
@example(
    says=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\nzz"
)
@example(says=b"HTTP/1.1 302 x\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n")
@example(says=b"HTTP/1.1 302 x\r\nLocation: //127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n")
def test_no_http_answer_gets_past_the_edge(babbler: Babbler, says: bytes) -> None:
    babbler.says = says
    assert outcome(f"http://{babbler.address}/picture")


@RELAXED
@given(says=speech(RTSP_WORDS))
def test_no_rtsp_answer_gets_past_the_edge(babbler: Babbler, says: bytes) -> None:
    babbler.says = says
    assert outcome(f"rtsp://{babbler.address}/picture")


@RELAXED
@given(
    says=st.binary(max_size=200).map(
        lambda segment: (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-mpegurl\r\n\r\n#EXTM3U\n"
            b"#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/a.ts\n#EXT-X-ENDLIST\n" + segment
        )
    )
)
def test_no_playlist_gets_past_the_edge(babbler: Babbler, says: bytes) -> None:
    babbler.says = says
    assert outcome(f"http://{babbler.address}/v.m3u8")


def test_a_whole_answer_is_a_picture_after_all(babbler: Babbler) -> None:
    babbler.says = b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(1)
    assert outcome(f"http://{babbler.address}/picture") == "pictures"
