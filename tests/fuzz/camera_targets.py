"""What a camera, or somebody in its place, can send: RTSP, HTTP and damaged video."""

from __future__ import annotations

import contextlib
import io
import itertools
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import av
import cv2
import numpy as np

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import encode_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId
from tests.fuzz.canned import CannedServer, record
from tests.fuzz.harness import Target

_HEIGHT, _WIDTH = 48, 64
_PICTURES = 20  # of each case; a mutated clip can be long
_FRAMES = [np.full((_HEIGHT, _WIDTH, 3), 40 * level, np.uint8) for level in range(6)]


def video_target(folder: Path) -> Target:
    """Coded video, damaged."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for image in _FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    path = folder / "clip.ts"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        _look(str(path), replay=True)

    words = (
        b"\x47\x40\x00\x10",
        b"\x00\x00\x01\x67",
        b"\x00\x00\x01\x65",
        b"#EXTM3U\n",
        b"RIFF",
    )
    return Target("video", (buffer.getvalue(),), run, (SourceError,), words, limit_s=60.0)


@contextmanager
def rtsp_target() -> Iterator[Target]:
    """Everything that a camera says over RTSP, from OPTIONS to the pictures."""

    with RtspServer(encode_clip(iter(_FRAMES), fps=4)) as camera:
        address = urlsplit(camera.url)

        def talk(port: int) -> None:
            with contextlib.suppress(SourceError):  # the recording ends in the middle
                _look(f"rtsp://127.0.0.1:{port}{address.path}")

        assert address.port is not None
        script = record(address.port, talk)
    with CannedServer() as server:

        def run(data: bytes) -> None:
            server.script = data
            _look(f"rtsp://127.0.0.1:{server.port}{address.path}")

        words = (
            b"RTSP/1.0 200 OK\r\n",
            b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\r\n",
            b"Content-Length: ",
            b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
            b"m=video 0 RTP/AVP 96\r\n",
            b"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=",
            b"a=control:",
            b"$\x00",
            b"$\x01\xff\xff",
        )
        yield Target("rtsp", (script,), run, (SourceError,), words, limit_s=60.0)


@contextmanager
def web_camera_target() -> Iterator[Target]:
    """What a camera answers over HTTP: a picture, or motion JPEG."""
    jpeg = cv2.imencode(".jpg", _FRAMES[3])[1].tobytes()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
    mjpeg = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
    seeds = (head % len(jpeg) + jpeg, mjpeg + part % (len(jpeg), jpeg) * 3)
    with CannedServer() as server:

        def run(data: bytes) -> None:
            server.script = data
            for kind in ("snapshot", "mjpeg"):
                with contextlib.suppress(SourceError):
                    _look(f"http://127.0.0.1:{server.port}/picture", kind=kind)

        words = (b"--b\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n")
        yield Target("web-camera", seeds, run, (SourceError,), words, limit_s=60.0)


def _look(
    url: str, *, replay: bool = False, kind: Literal["auto", "snapshot", "mjpeg"] = "auto"
) -> None:
    """Take pictures until the source ends; every one must be a picture."""
    spec = SourceSpec(
        CameraId("c"),
        url,
        username=None,
        password=None,
        transport="tcp",
        decode="all",
        interval_s=0.01,
        open_timeout_s=2.0,
        read_timeout_s=2.0,
        kind=kind,
    )
    source = open_source(spec, metrics=Metrics(), clock=SystemClock(), replay=replay)
    with closing(source):
        for picture in itertools.islice(source.pictures(threading.Event()), _PICTURES):
            assert picture.image.ndim == 3
            assert picture.image.dtype == np.uint8
