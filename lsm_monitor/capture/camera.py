"""One camera: opened, read, judged and opened again, for as long as the daemon runs.

This is the body of the camera's thread in a capture process. Nothing a camera does ends it: it
reconnects for ever, with growing waits that a stop interrupts at once. Only a video file ends,
when it is over. A camera on patrol is visited instead: opened, asked for one picture, closed.
Errors that are not the camera's fault are not caught here; the fleet starts the camera again.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from lsm_monitor.capture.backoff import Backoff
from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.capture.health import HealthReporter
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.packet_ring import PacketRing
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.capture.source import Picture, Source, SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceEndedError, SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraHealth, Frame, FrameStamp, HealthCode, HealthState

logger = logging.getLogger(__name__)

_FIRST_MEMORY_AFTER_S = 60.0
_MEMORY_EVERY_S = 600.0
"""What a crash takes is learnt again in minutes."""


class CameraCapture:
    """Hands out a camera's usable frames.

    Args:
        spec: How to open the camera.
        backoff_max_s: Longest wait between two attempts.
        rules: When a picture is unusable.
        memory: What the camera has learnt about its view before.
        stream_epoch: Number of the first connection.
        health: What was told about the camera before, by another process; ``None`` when
            nothing was: then ``starting`` is.
        metrics: Counts frames and reconnects.
        clock: Stamps frames, in wall and monotonic time.
        on_frame: Receives usable frames.
        on_health: Told when the camera's health changes.
        on_unusable: Told about each picture that cannot be judged, and why.
        on_memory: Told every few minutes what the camera has learnt about its view.
        ring: Gets the packets of a camera that stays connected; ``None``: nobody keeps them.

    The callbacks run on the camera's thread and must not block.
    """

    def __init__(
        self,
        *,
        spec: SourceSpec,
        backoff_max_s: float,
        rules: QualityRules,
        memory: CameraMemory | None = None,
        stream_epoch: int = 0,
        health: CameraHealth | None = None,
        metrics: Metrics,
        clock: Clock,
        on_frame: Callable[[Frame], None],
        on_health: Callable[[CameraHealth], None],
        on_unusable: Callable[[FrameStamp, tuple[HealthCode, ...]], None],
        on_memory: Callable[[CameraMemory], None] = lambda _: None,
        ring: PacketRing | None = None,
    ) -> None:
        self._ring = ring
        self._spec = spec
        self._metrics = metrics
        self._clock = clock
        self._on_frame = on_frame
        self._on_health = on_health
        self._on_unusable = on_unusable
        self._on_memory = on_memory
        self._remember_at_s = clock.monotonic_s() + _FIRST_MEMORY_AFTER_S
        self._learns_anew = False
        self._backoff = Backoff(backoff_max_s)
        self._reporter = HealthReporter(
            spec.camera_id, clock=clock, on_health=self._tell, told=health
        )
        self._quality_check = QualityCheck(rules, memory)
        self._interval_s = spec.interval_s
        self._source: Source | None = None
        self._visits = 0
        self.stream_epoch = stream_epoch
        self._delivering_since_s: float | None = None
        self._logged_code: HealthCode | None = None
        self._is_up = health is not None and health.state is HealthState.USABLE

    def run(
        self, stop: threading.Event, is_thread_spent: Callable[[], bool] = lambda: False
    ) -> bool:
        """Capture until ``stop`` is set or a file is over.

        A stop takes effect at once while waiting, and within the source's time-outs while the
        camera is silent.

        Args:
            stop: Ends it.
            is_thread_spent: Asked between two connections whether this thread is good for
                another one.

        Returns:
            Whether to call again, from another thread.
        """
        self._reporter.starting()
        while not stop.is_set():
            failure = self._read_until_failure(stop)
            if failure is None:
                return False
            is_final = not self._spec.is_live and isinstance(failure, SourceEndedError)
            self._reporter.failed(failure, is_final=is_final)
            if is_final:
                logger.info("%s", failure)
                return False
            self._wait_before_reconnect(failure, stop)
            self.stream_epoch += 1
            if is_thread_spent():
                return not stop.is_set()
        return False

    def visit(self, stop: threading.Event) -> bool:
        """Open the camera, take one picture, and close it again.

        All visits are one stream epoch: nobody looked away for longer than the plan says.

        Returns:
            Whether there was a picture.
        """
        self._reporter.starting()
        try:
            picture = grab_picture(
                self._spec, stop=stop, metrics=self._metrics, clock=self._clock
            )
        except SourceError as exc:
            self._reporter.failed(exc, is_final=False)
            self._note_failure(exc)
            return False
        if picture is None:
            return False
        self._handle(replace(picture, sequence=self._visits, pts_s=None))
        self._visits += 1
        return True

    def learn_anew(self) -> None:
        """Take the next picture's view for the right one; may be called from any thread."""
        self._learns_anew = True

    def retime(self, interval_s: float) -> None:
        """Keep one picture per ``interval_s`` from now on; may be called from any thread."""
        self._interval_s = interval_s
        source = self._source
        if source is not None:
            source.retime(interval_s)

    def _read_until_failure(self, stop: threading.Event) -> SourceError | None:
        """Return why the source failed, or ``None`` when it was stopped."""
        self._delivering_since_s = None
        try:
            spec = replace(self._spec, interval_s=self._interval_s)
            self._source = open_source(
                spec, metrics=self._metrics, clock=self._clock, ring=self._ring
            )
            self._source.retime(self._interval_s)  # it may have changed while we opened
            with contextlib.closing(self._source):
                for picture in self._source.pictures(stop):
                    self._handle(picture)
                    del picture  # nobody's while we wait for the next one
        except SourceError as exc:
            # Without its frames: they would hold the decoder during the wait.
            return exc.with_traceback(None)
        finally:
            self._source = None
        return None

    def _handle(self, picture: Picture) -> None:
        decoded_mono_s = self._clock.monotonic_s()
        if self._delivering_since_s is None:
            self._delivering_since_s = decoded_mono_s
        stamp = FrameStamp(
            camera_id=self._spec.camera_id,
            stream_epoch=self.stream_epoch,
            sequence=picture.sequence,
            pts_s=picture.pts_s,
            decoded_at=self._clock.now(),
            decoded_mono_s=decoded_mono_s,
        )
        if self._learns_anew:
            self._learns_anew = False
            self._quality_check.forget()
        quality = self._quality_check.assess(picture.image, decoded_mono_s)
        if quality.usable:
            self._on_frame(Frame(stamp, picture.image))
        else:
            self._count("unusable")
            self._on_unusable(stamp, quality.codes)
        self._reporter.picture(quality)
        if decoded_mono_s >= self._remember_at_s:
            self._remember_at_s = decoded_mono_s + _MEMORY_EVERY_S
            self._on_memory(self._quality_check.memory())

    def _wait_before_reconnect(self, failure: SourceError, stop: threading.Event) -> None:
        self._note_failure(failure)
        since_s = self._delivering_since_s
        lasted_s = 0.0 if since_s is None else self._clock.monotonic_s() - since_s
        stop.wait(self._backoff.next_wait_s(failure.code, lasted_s))

    def _note_failure(self, failure: SourceError) -> None:
        self._metrics.reconnects.labels(self._spec.camera_id, failure.code).inc()
        if failure.code is not self._logged_code:  # once per cause; the metrics count all
            logger.warning("%s; trying again until it works", failure)
            self._logged_code = failure.code

    def _tell(self, health: CameraHealth) -> None:
        was_up, self._is_up = self._is_up, health.state is HealthState.USABLE
        if self._is_up and not was_up:
            logger.info("camera '%s': usable pictures", self._spec.camera_id)
            self._logged_code = None
        self._on_health(health)

    def _count(self, stage: str) -> None:
        self._metrics.frames.labels(self._spec.camera_id, stage).inc()
