"""One picture of a camera, now: open, take the first good one, close.

For a camera that is visited and not watched, and for the picture from the main stream that is
kept as evidence when the substream is what was judged.
"""

from __future__ import annotations

import contextlib
import threading

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import SourceStalledError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import HealthCode


class _Until(threading.Event):
    """Set when ``stop`` is, and when the time is over."""

    def __init__(self, stop: threading.Event, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._stop = stop
        self._clock = clock
        self._end_s = clock.monotonic_s() + seconds

    def is_set(self) -> bool:
        return self._stop.is_set() or self._clock.monotonic_s() >= self._end_s

    def wait(self, timeout: float | None = None) -> bool:
        left_s = max(0.0, self._end_s - self._clock.monotonic_s())
        self._stop.wait(left_s if timeout is None else min(timeout, left_s))
        return self.is_set()


def grab_picture(
    spec: SourceSpec,
    *,
    stop: threading.Event,
    metrics: Metrics,
    clock: Clock,
    patience_s: float = 30.0,
) -> Picture | None:
    """Return the first picture that could be decoded without damage.

    Of an RTSP stream that is the next key frame. The call takes at most ``open_timeout_s`` +
    ``patience_s`` + ``read_timeout_s``: a read that gets no data ends by its own time-out.

    Args:
        spec: Whom to open; ``decode`` and ``interval_s`` do not matter.
        stop: Ends the wait; looked at after every packet.
        metrics: Counts packets and pictures, as for a camera that is watched.
        clock: Time of arrival.
        patience_s: So long a camera that is open may take to send its first whole picture.

    Returns:
        The picture; ``None`` when ``stop`` was set first.

    Raises:
        SourceError: It cannot be opened, failed, or sent no picture in time; with its code.
    """
    with contextlib.closing(open_source(spec, metrics=metrics, clock=clock)) as source:
        for picture in source.pictures(_Until(stop, clock, patience_s)):
            return picture
    if stop.is_set():
        return None
    msg = (
        f"camera '{spec.camera_id}': {spec.display_url} can be opened, but no picture came "
        f"within {patience_s:g} s; set a shorter key-frame interval in the camera"
    )
    raise SourceStalledError(msg, HealthCode.INVALID_DATA)
