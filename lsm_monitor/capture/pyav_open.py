"""Opens a camera's address or a video file, and tells why when that fails.

FFmpeg puts the whole address, password included, into its errors. So the address with
credentials exists in frames below :func:`_try_open` only, which returns a reason code
instead of raising: the exception that leaves this module has no cause, no context, and no
frame in its traceback that ever saw the password.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from urllib.parse import quote, urlsplit

import av
from av.container import InputContainer

from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceOpenError
from lsm_monitor.types import HealthCode

# Waiting for stream parameters would delay the first picture by seconds (measured: 2.8 s to
# open with the defaults, 0.1 s with these) and the decoder finds them in the key frame
# anyway. 'fflags=nobuffer' would be as fast, but loses the key frame that was probed.
_NETWORK_OPTIONS = {"probesize": "32", "analyzeduration": "0"}
# A sound track would be sent for nothing, and FFmpeg would move the video's presentation times
# to match it whenever the camera reports its clock.
_ONLY_VIDEO = {"allowed_media_types": "video"}

# FFmpeg keeps the userinfo of an RTSP address in 128 bytes and cuts off the rest in silence.
MAX_USERINFO_BYTES = 127

_BY_ERROR: tuple[tuple[type[Exception], HealthCode], ...] = (
    (av.error.HTTPUnauthorizedError, HealthCode.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, HealthCode.UNAUTHORIZED),
    (av.error.HTTPNotFoundError, HealthCode.NOT_FOUND),
    (av.error.FileNotFoundError, HealthCode.NOT_FOUND),
    (av.error.ConnectionRefusedError, HealthCode.CONNECTION_REFUSED),
    (av.error.ExitError, HealthCode.OPEN_TIMEOUT),
    (av.error.TimeoutError, HealthCode.OPEN_TIMEOUT),
)
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})

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


def open_container(spec: SourceSpec, clock: Clock) -> InputContainer:
    """Return the opened container; it has a video stream.

    The container's ``repr`` and ``name`` hold the password: keep it out of local variables of
    functions that raise.

    Raises:
        SourceOpenError: With the reason code of the cause, free of credentials.
    """
    outcome = _try_open(spec, clock)
    if isinstance(outcome, HealthCode):
        raise SourceOpenError(open_failure(spec, outcome), outcome)
    return outcome


def _try_open(spec: SourceSpec, clock: Clock) -> InputContainer | HealthCode:
    if len(_userinfo(spec)) > MAX_USERINFO_BYTES:
        return HealthCode.UNAUTHORIZED
    started_s = clock.monotonic_s()
    try:
        container = _av_open(spec, _ONLY_VIDEO)
    except av.FFmpegError as exc:
        elapsed_s = clock.monotonic_s() - started_s
        code = open_failure_code(exc, spec, elapsed_s=elapsed_s)
        # Without a video track FFmpeg plays nothing at all, which the camera then refuses.
        may_lack_video = isinstance(exc, av.error.HTTPOtherClientError)
        return HealthCode.NO_VIDEO if may_lack_video and _lacks_video(spec) else code
    if not container.streams.video:
        container.close()
        return HealthCode.NO_VIDEO
    return container


def _lacks_video(spec: SourceSpec) -> bool:
    try:
        container = _av_open(spec, {})
    except av.FFmpegError:
        return False
    with contextlib.closing(container):
        return not container.streams.video


def _av_open(spec: SourceSpec, media: dict[str, str]) -> InputContainer:
    return av.open(
        _address(spec),
        options={"rtsp_transport": spec.transport, **_NETWORK_OPTIONS, **media}
        if spec.is_network
        else {},
        # One interrupt callback for connecting and every read: the only time-out that holds
        # in all of FFmpeg's RTSP code ('rw_timeout' and 'stimeout' are ignored).
        timeout=(spec.open_timeout_s, spec.read_timeout_s),
    )


def open_failure_code(
    error: av.FFmpegError, spec: SourceSpec, *, elapsed_s: float
) -> HealthCode:
    """Return why opening failed.

    Args:
        error: What PyAV raised.
        spec: What was opened.
        elapsed_s: How long it took to fail. FFmpeg reports a peer that accepts and then says
            nothing as "invalid data", so the time is what tells the two apart.
    """
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    if error.errno in _UNREACHABLE:
        return HealthCode.HOST_UNREACHABLE
    if not spec.is_network:
        denied = isinstance(error, av.error.PermissionError)
        return HealthCode.UNAUTHORIZED if denied else HealthCode.INVALID_DATA
    if elapsed_s >= 0.9 * spec.open_timeout_s:
        return HealthCode.OPEN_TIMEOUT
    # A name that cannot be resolved is a plain input/output error in FFmpeg.
    if error.errno == errno.EIO and not _resolves(spec.url):
        return HealthCode.DNS_FAILED
    return HealthCode.PROTOCOL_ERROR


def open_failure(spec: SourceSpec, code: HealthCode) -> str:
    """Return the sentence for a person: who, what, why, what to do."""
    cause, remedy = (
        text.format(id=spec.camera_id, open_timeout_s=spec.open_timeout_s)
        for text in _EXPLANATIONS[code]
    )
    if code is HealthCode.UNAUTHORIZED and len(_userinfo(spec)) > MAX_USERINFO_BYTES:
        cause = "user and password are too long for RTSP"
        remedy = (
            f"keep both within {MAX_USERINFO_BYTES - 1} bytes; special characters count thrice"
        )
    return f"camera '{spec.camera_id}': cannot open {spec.display_url} ({cause}); {remedy}"


def _resolves(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        # As bytes: Python's IDNA encoding would reject names that FFmpeg passes on.
        socket.getaddrinfo(host.encode(), None)
    except socket.gaierror:
        return False
    return True


def _userinfo(spec: SourceSpec) -> str:
    if spec.username is None:
        return ""
    # What os.environ could not decode goes to the camera as the bytes it was.
    userinfo = quote(spec.username, safe="", errors="surrogateescape")
    if spec.password is not None:
        userinfo += ":" + quote(
            spec.password.get_secret_value(), safe="", errors="surrogateescape"
        )
    return userinfo


def _address(spec: SourceSpec) -> str:
    """Return what FFmpeg opens: credentials included, so it must not leave this module."""
    if not spec.is_network:
        # The prefix keeps a colon in a file's name from being taken for a protocol.
        return f"file:{spec.url}"
    userinfo = _userinfo(spec)
    if not userinfo:
        return spec.url
    parts = urlsplit(spec.url)
    return parts._replace(netloc=f"{userinfo}@{parts.netloc}").geturl()
