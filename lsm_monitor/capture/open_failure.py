"""Why a camera gives no video, in words for a person: who, what, why, what to do."""

from __future__ import annotations

import errno
import socket
from urllib.parse import quote, urlsplit

from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.errors import SourceStalledError
from lsm_monitor.types import HealthCode

# FFmpeg keeps the userinfo of an RTSP address in 128 bytes and cuts off the rest in silence.
MAX_USERINFO_BYTES = 127
UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})

# Per code: what happened, and what to do about it.
_EXPLANATIONS: dict[HealthCode, tuple[str, str]] = {
    HealthCode.DNS_FAILED: (
        "the host name is unknown",
        "check the name server, or write the camera's IP address in 'cameras.{id}.url'",
    ),
    HealthCode.CONNECTION_REFUSED: (
        "connection refused",
        "check that the camera is powered and that 'cameras.{id}.url' is right",
    ),
    HealthCode.HOST_UNREACHABLE: (
        "host unreachable",
        "check the network between this machine and the camera",
    ),
    HealthCode.OPEN_TIMEOUT: (
        "no answer within {open_timeout_s:g} s",
        "check that the camera is powered and that 'cameras.{id}.url' is right",
    ),
    HealthCode.UNAUTHORIZED: (
        "access denied",
        "check 'cameras.{id}.username' and 'cameras.{id}.password'",
    ),
    HealthCode.NOT_FOUND: (
        "not found",
        "check the path in 'cameras.{id}.url'",
    ),
    HealthCode.NO_VIDEO: (
        "it has no video",
        "check that 'cameras.{id}.url' names a video stream",
    ),
    HealthCode.INVALID_DATA: (
        "not a video that can be read",
        "check that 'cameras.{id}.url' names a video file",
    ),
    HealthCode.PROTOCOL_ERROR: (
        "the answer was not understood",
        "check 'cameras.{id}.url', or try the other 'cameras.{id}.transport'",
    ),
}


def open_failure(spec: SourceSpec, code: HealthCode, what: str | None = None) -> str:
    """Return the sentence for a person: who, what, why, what to do.

    Args:
        spec: What was to be opened.
        code: Why it was not.
        what: What happened, where more is known than the code says.
    """
    cause, remedy = (
        text.format(id=spec.camera_id, open_timeout_s=spec.open_timeout_s)
        for text in _EXPLANATIONS[code]
    )
    cause = what or cause
    if code is HealthCode.PROTOCOL_ERROR and spec.is_http:
        remedy = f"check 'cameras.{spec.camera_id}.url'; it must be a picture or a video"
    if code is HealthCode.UNAUTHORIZED and is_userinfo_too_long(spec):
        cause = "user and password are too long for RTSP"
        remedy = (
            f"keep both within {MAX_USERINFO_BYTES - 1} bytes; special characters count thrice"
        )
    return f"camera '{spec.camera_id}': cannot open {spec.display_url} ({cause}); {remedy}"


def stalled(spec: SourceSpec) -> SourceStalledError:
    """Return the error for a camera that was opened and then fell silent."""
    msg = (
        f"camera '{spec.camera_id}': {spec.display_url} sent nothing for "
        f"{spec.read_timeout_s:g} s; check the camera and the network, or raise "
        f"'cameras.{spec.camera_id}.read_timeout_s'"
    )
    return SourceStalledError(msg, HealthCode.STALLED)


def resolves(url: str) -> bool:
    """Return whether the host of ``url`` has an address."""
    host = urlsplit(url).hostname or ""
    try:
        # As bytes: Python's IDNA encoding would reject names that FFmpeg passes on.
        socket.getaddrinfo(host.encode(), None)
    except socket.gaierror:
        return False
    return True


def is_userinfo_too_long(spec: SourceSpec) -> bool:
    """Return whether FFmpeg would cut user and password off and be refused for that."""
    return spec.is_rtsp and len(userinfo(spec)) > MAX_USERINFO_BYTES


def userinfo(spec: SourceSpec) -> str:
    """Return user and password as they stand in an address: a secret."""
    if spec.username is None:
        return ""
    # What os.environ could not decode goes to the camera as the bytes it was.
    words = quote(spec.username, safe="", errors="surrogateescape")
    if spec.password is not None:
        words += ":" + quote(
            spec.password.get_secret_value(), safe="", errors="surrogateescape"
        )
    return words
