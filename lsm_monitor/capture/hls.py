"""An HLS playlist (.m3u8), read by FFmpeg through our own HTTP.

FFmpeg asks :class:`HlsFiles` for the playlist and each segment. So login, redirects, time-outs
and certificates are those of every other http(s):// camera, and FFmpeg never sees the password.
A live playlist is joined at its newest segment; one that has ended plays at the speed at which
it was filmed, like a file, and is then over.
"""

from __future__ import annotations

from dataclasses import replace

import av
from av.container import InputContainer

from lsm_monitor.capture.http_client import Answer, HttpClient, is_address
from lsm_monitor.capture.pyav_open import has_known_codec
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.errors import SourceError
from lsm_monitor.types import HealthCode

# A playlist moves on once per segment, and 10 s per segment are usual.
_MIN_READ_TIMEOUT_S = 30.0
_OPTIONS = {
    "live_start_index": "-1",
    # Both would have FFmpeg look for a socket of its own behind our file.
    "http_persistent": "0",
    "http_multiple": "0",
    "probesize": "32",
    "analyzeduration": "0",
}


class _File:
    """One playlist or segment, as PyAV reads it."""

    def __init__(self, answer: Answer, read_timeout_s: float) -> None:
        self.name = answer.url
        self._answer = answer
        self._read_timeout_s = read_timeout_s

    def read(self, size: int) -> bytes:
        self._answer.allow(self._read_timeout_s)
        return self._answer.read(size)

    def close(self) -> None:
        self._answer.close()


def open_hls(spec: SourceSpec, client: HttpClient, playlist: Answer) -> InputContainer:
    """Return the opened container; it has a video stream.

    Args:
        spec: Whose.
        client: Fetches segments; must outlive the container.
        playlist: The answer with the playlist, not read yet.

    Raises:
        SourceOpenError: With the reason code of the cause.
    """

    def open_file(url: str, _flags: int, options: dict[str, str]) -> _File:
        if not is_address(url):
            raise client.failure(HealthCode.PROTOCOL_ERROR, "its playlist names no address")
        return _File(client.get(url, _range(options)), spec.read_timeout_s)

    code = HealthCode.PROTOCOL_ERROR
    try:
        container = av.open(
            _File(playlist, spec.read_timeout_s),
            mode="r",
            format="hls",
            options=_OPTIONS,
            io_open=open_file,
            metadata_errors="replace",
            timeout=(spec.open_timeout_s, patient(spec).read_timeout_s),
        )
    except SourceError:
        raise
    except (av.error.ExitError, av.error.TimeoutError):
        code = HealthCode.OPEN_TIMEOUT
    except av.FFmpegError:
        code = HealthCode.PROTOCOL_ERROR
    else:
        has_video = bool(container.streams.video)
        if has_video and has_known_codec(container):
            return container
        container.close()
        code = HealthCode.INVALID_DATA if has_video else HealthCode.NO_VIDEO
    playlist.close()
    raise client.failure(code)


def patient(spec: SourceSpec) -> SourceSpec:
    """Return ``spec`` with the time for which a playlist may stay as it is."""
    return replace(spec, read_timeout_s=max(spec.read_timeout_s, _MIN_READ_TIMEOUT_S))


def _range(options: dict[str, str]) -> dict[str, str]:
    """Return the header that asks for a part of a file, where a segment is one."""
    if "end_offset" not in options:
        return {}
    first, last = int(options.get("offset", "0")), int(options["end_offset"]) - 1
    return {"Range": f"bytes={first}-{last}"}


def is_ended(container: InputContainer) -> bool:
    """Return whether the playlist has an end: only then does FFmpeg know how long it is."""
    return container.duration is not None
