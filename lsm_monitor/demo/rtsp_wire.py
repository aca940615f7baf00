"""RTSP 1.0 on the wire (RFC 2326): requests, responses, the SDP and logins, as values."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

from lsm_monitor.demo.clip import Clip
from lsm_monitor.demo.rtp import PAYLOAD_TYPE

REALM = "lsm-monitor demo"
TRACK = "track0"
_REQUEST_LINE = re.compile(r"([A-Z_]{1,20}) (\S{1,512}) RTSP/1\.0")
_PARAMETER = re.compile(r'(\w+)="?([^",]*)"?')
_PHRASES = {
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
}


class RtspSyntaxError(ValueError):
    """What the client sent is not RTSP; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: In capitals.
        url: As sent.
        headers: By lower-case name.
    """

    method: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """One response; ``CSeq`` is added when it is sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, cseq: str) -> bytes:
        """Return the bytes to send in answer to the request numbered ``cseq``."""
        phrase = _PHRASES.get(self.status) or HTTPStatus(self.status).phrase
        headers = {"CSeq": cseq, **self.headers}
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        lines = [f"RTSP/1.0 {self.status} {phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


def parse_request(head: bytes) -> Request:
    """Return the request whose lines, up to the empty one, are ``head``.

    Raises:
        RtspSyntaxError: ``head`` is not a request.
    """
    try:
        request_line, *lines = head.decode("ascii").strip("\r\n").split("\r\n")
    except UnicodeDecodeError as exc:
        msg = "the request is not ASCII"
        raise RtspSyntaxError(msg) from exc
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        msg = "the first line is not 'METHOD url RTSP/1.0'"
        raise RtspSyntaxError(msg)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            msg = "a header line has no colon"
            raise RtspSyntaxError(msg)
        headers[name.strip().lower()] = value.strip()
    if not re.fullmatch(r"\d{1,9}", headers.get("cseq", "")):
        msg = "the request has no valid CSeq"
        raise RtspSyntaxError(msg)
    return Request(match[1], match[2], headers)


def sdp(clip: Clip) -> bytes:
    """Return the session description of ``clip``, one track called ``TRACK``."""
    parameter_sets = ",".join(
        base64.b64encode(parameter_set).decode() for parameter_set in (clip.sps, clip.pps)
    )
    parameters = (
        f"packetization-mode=1;profile-level-id={clip.sps[1:4].hex()};"
        f"sprop-parameter-sets={parameter_sets}"
    )
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=Street camera",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        f"a=rtpmap:{PAYLOAD_TYPE} H264/90000",
        f"a=fmtp:{PAYLOAD_TYPE} {parameters}",
        f"a=framesize:{PAYLOAD_TYPE} {clip.width_px}-{clip.height_px}",
        f"a=framerate:{clip.fps}",
        f"a=control:{TRACK}",
    ]
    return "\r\n".join([*lines, ""]).encode("ascii")


@dataclass(frozen=True, slots=True)
class Login:
    """The user that the camera lets in, and how it asks for the password."""

    username: str
    password: str = field(repr=False)
    scheme: Literal["basic", "digest"] = "digest"

    def challenge(self, nonce: str) -> str:
        """Return the ``WWW-Authenticate`` header."""
        if self.scheme == "basic":
            return f'Basic realm="{REALM}"'
        return f'Digest realm="{REALM}", nonce="{nonce}"'

    def accepts(self, request: Request, nonce: str) -> bool:
        """Return whether ``request`` proves that its sender knows the password."""
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != self.scheme:
            return False
        if self.scheme == "basic":
            proof = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            return hmac.compare_digest(proof.encode(), value.strip().encode())
        given = dict(_PARAMETER.findall(value))
        proof = _md5(
            _md5(f"{self.username}:{REALM}:{self.password}"),
            nonce,
            _md5(f"{request.method}:{given.get('uri', '')}"),
        )
        return hmac.compare_digest(proof.encode(), given.get("response", "").encode())


def _md5(*parts: str) -> str:
    # RFC 2326's digest login knows no other hash.
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
