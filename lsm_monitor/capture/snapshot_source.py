"""A camera that gives one JPEG or PNG per HTTP request, asked once per interval.

The connection is kept, and a camera that can say "not modified" is asked in that way: the same
picture twice is no picture. Nothing new for ``max(read_timeout_s, 3 * interval_s)`` is a stall.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from lsm_monitor.capture.http_client import Answer, HttpClient
from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.capture.still import MAX_PICTURE_BYTES, decode_picture
from lsm_monitor.capture.waiting import wait_interval
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceOpenError, SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode

_NOT_MODIFIED = 304


class SnapshotSource:
    """A picture per interval; see :class:`~lsm_monitor.capture.source.Source`.

    Args:
        spec: ``url`` is the address of the picture.
        client: Logged in; closed with the source.
        first: The answer to the first request, not read yet.
        metrics: Counts pictures.
        clock: Intervals and stalls.
    """

    def __init__(
        self,
        spec: SourceSpec,
        client: HttpClient,
        first: Answer,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._client = client
        self._first: Answer | None = first
        self._metrics = metrics
        self._clock = clock
        self._interval_s = spec.interval_s
        self._validators: dict[str, str] = {}
        self._sequence = -1

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Yield one picture per interval; see :class:`~lsm_monitor.capture.source.Source`."""
        last_new_s = self._clock.monotonic_s()
        # Cameras that start together are from then on asked each at its own time.
        due_s = last_new_s + (self._spec.phase - round(self._spec.phase)) * self._interval_s
        while not stop.is_set():
            stall_s = max(self._spec.read_timeout_s, 3 * self._interval_s)
            picture = self._next_picture()
            if stop.is_set():
                return
            if picture is not None:
                yield picture
                del picture  # 6 MB at 1080p, until the next one is due
                last_new_s = self._clock.monotonic_s()
            elif self._clock.monotonic_s() - last_new_s > stall_s:
                msg = (
                    f"camera '{self._spec.camera_id}': {self._spec.display_url} gave no new "
                    f"picture for {stall_s:g} s; restart the camera"
                )
                raise SourceStalledError(msg, HealthCode.STALLED)
            # On a grid; what a slow answer missed is not made up for.
            due_s = max(due_s, self._clock.monotonic_s() - self._interval_s)
            due_s = wait_interval(stop, self._clock, due_s, lambda: self._interval_s)

    def retime(self, interval_s: float) -> None:
        """Ask once per ``interval_s`` from now on."""
        self._interval_s = interval_s

    def facts(self) -> SourceFacts:
        """Return what is known by now."""
        return SourceFacts("images", fps=None, keyframe_interval_s=None, has_timestamps=False)

    def close(self) -> None:
        """Close the connection."""
        if self._first is not None:
            self._first.close()
            self._first = None
        self._client.close()

    def _next_picture(self) -> Picture | None:
        """Ask for a picture; ``None``, counted, when it is the last one again, or damaged.

        Raises:
            SourceOpenError: No answer, or not a picture at all.
        """
        answer = self._first or self._client.get(self._spec.url, self._validators)
        self._first = None
        try:
            if answer.status == _NOT_MODIFIED:
                self._skip("not_modified")
                return None
            self._check_type(answer)
            answer.allow(self._spec.read_timeout_s)
            data = answer.read_all(limit_bytes=MAX_PICTURE_BYTES)
        finally:
            answer.close()
        self._remember(answer)
        self._count("received")
        image = decode_picture(data)
        if image is None:
            self._skip("corrupt")
            return None
        self._sequence += 1
        self._count("decoded")
        return Picture(None, self._sequence, image)

    def _check_type(self, answer: Answer) -> None:
        # Cameras that ask for a login again answer with a page that says so, and status 200.
        media_type = answer.headers.get_content_type()
        if media_type.startswith("text/"):
            raise self._not_a_picture(media_type)

    def _not_a_picture(self, media_type: str) -> SourceOpenError:
        return self._client.failure(
            HealthCode.PROTOCOL_ERROR, f"its content type is {media_type}"
        )

    def _remember(self, answer: Answer) -> None:
        given = {
            "If-None-Match": answer.headers.get("ETag"),
            "If-Modified-Since": answer.headers.get("Last-Modified"),
        }
        self._validators = {name: value for name, value in given.items() if value}

    def _count(self, stage: str) -> None:
        self._metrics.frames.labels(self._spec.camera_id, stage).inc()

    def _skip(self, reason: str) -> None:
        self._metrics.packets_skipped.labels(self._spec.camera_id, reason).inc()
