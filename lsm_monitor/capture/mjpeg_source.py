"""A camera that sends JPEG after JPEG in one HTTP answer (multipart/x-mixed-replace).

Every picture can be decoded by itself, so only those that are due are. Pictures carry no time:
they are timed by their arrival. Between two reads pictures may gather for a moment, as in
:mod:`~lsm_monitor.capture.gulps`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from lsm_monitor.capture.arrival_rate import ArrivalRate
from lsm_monitor.capture.gulps import REST_S, WAITED_S
from lsm_monitor.capture.http_client import Answer, HttpClient
from lsm_monitor.capture.multipart import MultipartError, MultipartReader
from lsm_monitor.capture.open_failure import stalled
from lsm_monitor.capture.patience import Patience
from lsm_monitor.capture.sampler import Sampler
from lsm_monitor.capture.source import Picture, SourceFacts, SourceSpec
from lsm_monitor.capture.still import MAX_PICTURE_BYTES, decode_picture
from lsm_monitor.clock import Clock
from lsm_monitor.errors import (
    SourceEndedError,
    SourceOpenError,
)
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode


class MjpegSource:
    """An open answer; see :class:`~lsm_monitor.capture.source.Source`.

    Args:
        spec: Whose.
        client: Closed with the source.
        answer: The endless answer, not read yet.
        metrics: Counts pictures.
        clock: Time of arrival.
    """

    def __init__(
        self,
        spec: SourceSpec,
        client: HttpClient,
        answer: Answer,
        *,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._who = f"camera '{spec.camera_id}': {spec.display_url}"
        self._client = client
        self._answer = answer
        self._metrics = metrics
        self._received = metrics.frames.labels(spec.camera_id, "received")
        self._clock = clock
        self._interval_s = spec.interval_s
        self._sampler = Sampler(spec.interval_s, spec.phase)
        self._patience = Patience(spec, clock.monotonic_s())
        self._rate = ArrivalRate()
        self._sequence = -1

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Yield one picture per interval; see :class:`~lsm_monitor.capture.source.Source`."""
        parts = MultipartReader(self._answer.read, max_part_bytes=MAX_PICTURE_BYTES).parts()
        while not stop.is_set():
            reading_since_s = self._clock.monotonic_s()
            part = self._next_part(parts)
            arrived_s = self._clock.monotonic_s()
            if stop.is_set():
                return
            picture = self._picture(part, arrived_s)
            if picture is not None:
                yield picture
                del picture  # 6 MB at 1080p, until the next one is due
                self._patience.picture(self._clock.monotonic_s())
            self._patience.packet(arrived_s, keyframe_interval_s=0.0)  # each is one
            if arrived_s - reading_since_s >= WAITED_S:
                stop.wait(min(REST_S, self._interval_s / 2))

    def retime(self, interval_s: float) -> None:
        """Yield one picture per ``interval_s`` from now on."""
        self._interval_s = interval_s
        self._patience.retime(interval_s)
        self._sampler.retime(interval_s)

    def facts(self) -> SourceFacts:
        """Return what is known by now."""
        return SourceFacts(
            codec="mjpeg",
            fps=self._rate.fps,
            keyframe_interval_s=self._rate.keyframe_interval_s,
            has_timestamps=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()
        self._client.close()

    def _next_part(self, parts: Iterator[bytes]) -> bytes:
        self._answer.allow(self._spec.read_timeout_s)
        code, what = HealthCode.ENDED, "hung up"
        try:
            part = next(parts, None)
            if part is not None:
                return part
        except SourceOpenError as exc:
            if exc.code is HealthCode.OPEN_TIMEOUT:
                code = HealthCode.STALLED
        except MultipartError as exc:
            code, what = HealthCode.INVALID_DATA, f"sent what is not a video ({exc})"
        if code is HealthCode.STALLED:
            raise stalled(self._spec)
        msg = f"{self._who} {what}"
        raise SourceEndedError(msg, code)

    def _picture(self, part: bytes, arrived_s: float) -> Picture | None:
        self._received.inc()
        self._sequence += 1
        self._rate.add(arrived_s, is_keyframe=True)
        if not self._sampler.is_due(arrived_s):
            self._skip("not_due")
            return None
        image = decode_picture(part)
        if image is None:
            self._skip("corrupt")
            return None
        self._sampler.keep(arrived_s)
        self._metrics.frames.labels(self._spec.camera_id, "decoded").inc()
        return Picture(None, self._sequence, image)

    def _skip(self, reason: str) -> None:
        self._metrics.packets_skipped.labels(self._spec.camera_id, reason).inc()
