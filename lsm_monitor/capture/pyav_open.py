"""Opens a camera's address or a video file, and tells why when that fails.

FFmpeg puts the whole address, password included, into its errors. So the address with
credentials exists in frames below :func:`_try_open` only, which returns a reason code
instead of raising: the exception that leaves this module has no cause, no context, and no
frame in its traceback that ever saw the password.
"""

from __future__ import annotations

import contextlib
import errno
from urllib.parse import urlsplit

import av
from av.container import InputContainer

from lsm_monitor.capture.open_failure import (
    UNREACHABLE,
    is_userinfo_too_long,
    open_failure,
    resolves,
    userinfo,
)
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.tls import certificate_problem, ffmpeg_tls_options
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

_BY_ERROR: tuple[tuple[type[Exception], HealthCode], ...] = (
    (av.error.HTTPUnauthorizedError, HealthCode.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, HealthCode.UNAUTHORIZED),
    (av.error.HTTPNotFoundError, HealthCode.NOT_FOUND),
    (av.error.FileNotFoundError, HealthCode.NOT_FOUND),
    (av.error.ConnectionRefusedError, HealthCode.CONNECTION_REFUSED),
    (av.error.ExitError, HealthCode.OPEN_TIMEOUT),
    (av.error.TimeoutError, HealthCode.OPEN_TIMEOUT),
)


def open_container(spec: SourceSpec, clock: Clock) -> InputContainer:
    """Return the opened container; it has a video stream.

    The container's ``repr`` and ``name`` hold the password: keep it out of local variables of
    functions that raise.

    Raises:
        SourceOpenError: With the reason code of the cause, free of credentials.
    """
    outcome = _try_open(spec, clock)
    if not isinstance(outcome, HealthCode):
        return outcome
    what = None
    if outcome is HealthCode.PROTOCOL_ERROR and spec.is_rtsp and spec.tls_verify:
        what = certificate_problem(spec)
    raise SourceOpenError(open_failure(spec, outcome, what), outcome)


def _try_open(spec: SourceSpec, clock: Clock) -> InputContainer | HealthCode:
    if is_userinfo_too_long(spec):
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
    if not has_known_codec(container):
        container.close()
        return HealthCode.INVALID_DATA
    return container


def has_known_codec(container: InputContainer) -> bool:
    """Return whether this FFmpeg can decode the container's first video stream."""
    decoder: av.VideoCodecContext | None = container.streams.video[0].codec_context
    return decoder is not None  # PyAV's annotation forgets it


def _lacks_video(spec: SourceSpec) -> bool:
    try:
        container = _av_open(spec, {})
    except av.FFmpegError:
        return False
    with contextlib.closing(container):
        return not container.streams.video


def _av_open(spec: SourceSpec, media: dict[str, str]) -> InputContainer:
    options: dict[str, str] = {}
    if spec.is_network:
        options = {"rtsp_transport": spec.transport, **_NETWORK_OPTIONS, **media}
    if spec.url.startswith("rtsps://"):
        options |= ffmpeg_tls_options(spec)
    return av.open(
        _address(spec),
        format=None if spec.device is None else "v4l2",
        options=options,
        metadata_errors="replace",  # a title may be any bytes
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
    if error.errno in UNREACHABLE:
        return HealthCode.HOST_UNREACHABLE
    if not spec.is_network:
        denied = isinstance(error, av.error.PermissionError)
        return HealthCode.UNAUTHORIZED if denied else HealthCode.INVALID_DATA
    if elapsed_s >= 0.9 * spec.open_timeout_s:
        return HealthCode.OPEN_TIMEOUT
    # A name that cannot be resolved is a plain input/output error in FFmpeg.
    if error.errno == errno.EIO and not resolves(spec.url):
        return HealthCode.DNS_FAILED
    return HealthCode.PROTOCOL_ERROR


def _address(spec: SourceSpec) -> str:
    """Return what FFmpeg opens: credentials included, so it must not leave this module."""
    if spec.device is not None:
        return spec.device
    if not spec.is_network:
        # The prefix keeps a colon in a file's name from being taken for a protocol.
        return f"file:{spec.url}"
    login = userinfo(spec)
    if not login:
        return spec.url
    parts = urlsplit(spec.url)
    return parts._replace(netloc=f"{login}@{parts.netloc}").geturl()
