"""A street camera on loopback that speaks HTTP or HTTPS: snapshots, motion JPEG, playlists.

    with HttpCamera() as camera:
        ...open camera.url("/snapshot.jpg")...

``camera.routes["/path"]`` may be any function that answers a request; ``camera.seen`` is what
was asked, in order. Only what real cameras do is here, and each fault in a few lines.
"""

from __future__ import annotations

import http.server
import re
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import cv2
import numpy as np

from lsm_monitor.demo.rtsp_wire import Login, Request
from tests.certificates import Certificate


def jpeg(number: int, size_wh: tuple[int, int] = (64, 48)) -> bytes:
    """Return picture ``number``: a flat grey of ``20 * number``."""
    image = np.full((size_wh[1], size_wh[0], 3), 20 * number % 256, np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


@dataclass(frozen=True, slots=True)
class Seen:
    """One request: what was asked, by which connection, and with which login."""

    path: str
    connection: int
    authorization: str | None
    if_none_match: str | None


Route = Callable[["Handler"], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    camera: ClassVar[HttpCamera]

    def do_GET(self) -> None:
        camera = self.camera
        connection = self.client_address[1]
        sent = self.headers
        seen = Seen(self.path, connection, sent["Authorization"], sent["If-None-Match"])
        camera.seen.append(seen)
        login = camera.login
        if login is not None and not login.accepts(self._as_request(), camera.nonce):
            self.answer(401, b"who?", {"WWW-Authenticate": login.challenge(camera.nonce)})
            return
        route = camera.routes.get(self.path.partition("?")[0])
        if route is None:
            self.answer(404, b"no such page", {"Content-Type": "text/html"})
        else:
            route(self)

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _as_request(self) -> Request:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Request(self.command, self.path, headers)


class HttpCamera:
    """A web server on 127.0.0.1; a context manager.

    Args:
        login: Who is let in; ``None`` for everyone.
        certificate: Then it is HTTPS.
    """

    def __init__(
        self, *, login: Login | None = None, certificate: Certificate | None = None
    ) -> None:
        self.login = login
        self.nonce = "n0nce"
        self.seen: list[Seen] = []
        self.routes: dict[str, Route] = {"/snapshot.jpg": self.snapshot, "/video": mjpeg()}
        self.pictures_taken = 0
        self.stopping = threading.Event()
        handler = type("BoundHandler", (Handler,), {"camera": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # an old camera's short key will do
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def url(self, path: str) -> str:
        """Return the address of ``path``."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()

    def snapshot(self, handler: Handler) -> None:
        """Answer with a new picture each time."""
        self.pictures_taken += 1
        headers = {"Content-Type": "image/jpeg", "ETag": f'"{self.pictures_taken}"'}
        handler.answer(200, jpeg(self.pictures_taken), headers)


def says(status: int, body: bytes = b"", **headers: str) -> Route:
    """Answer always the same; underscores in the names of headers become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(status, body, named)


def still(handler: Handler) -> None:
    """Answer always with the same picture, and say so if asked."""
    if handler.headers["If-None-Match"] == '"same"':
        handler.answer(304, b"", {"ETag": '"same"'})
    else:
        headers = {"Content-Type": "image/jpeg", "ETag": '"same"'}
        handler.answer(200, jpeg(1), headers)


def mjpeg(*, fps: float = 50.0, pictures: int | None = None, with_length: bool = True) -> Route:
    """Send picture after picture; then hang up after ``pictures``."""

    def route(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        handler.end_headers()
        handler.close_connection = True
        number = 0
        while number != pictures and not handler.camera.stopping.wait(1 / fps):
            number += 1
            body = jpeg(number)
            length = f"Content-Length: {len(body)}\r\n" if with_length else ""
            head = f"--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n"
            try:
                handler.wfile.write(head.encode() + body + b"\r\n")
            except OSError:
                return

    return route


def drip(data: bytes, *, every_s: float) -> Route:
    """Send raw bytes, one at a time: a camera that answers as slowly as it can."""

    def route(handler: Handler) -> None:
        handler.close_connection = True
        for byte in data:
            if handler.camera.stopping.wait(every_s):
                return
            try:
                handler.wfile.write(bytes([byte]))
            except OSError:
                return

    return route


def hang(handler: Handler) -> None:
    """Never answer."""
    handler.close_connection = True
    handler.camera.stopping.wait()


def folder(path: Path) -> dict[str, Route]:
    """Return routes for every file in ``path``, as an HLS camera serves them."""
    types = {
        ".m3u8": "application/vnd.apple.mpegurl",
        ".ts": "video/mp2t",
        ".m4s": "video/mp4",
        ".mp4": "video/mp4",
    }

    def serve(file: Path) -> Route:
        headers = {"Content-Type": types[file.suffix]}

        def route(handler: Handler) -> None:
            data = file.read_bytes()
            part = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers["Range"] or "")
            if part is None:
                handler.answer(200, data, headers)
            else:
                handler.answer(206, data[int(part[1]) : int(part[2]) + 1], headers)

        return route

    return {f"/{file.name}": serve(file) for file in path.iterdir()}


def number_of(image: np.ndarray) -> int:
    """Return which picture :func:`jpeg` this is."""
    return round(float(image.mean()) / 20)
