"""How steady each camera's connection was in the last hour.

Counters only grow, and what an operator asks is "which camera is bad now". So the counters
are read once a minute, and the difference over the hour is the answer: nothing in the path of
the pictures knows of it. Those of a camera that was let go begin again at zero when it comes
back, and so does its hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter

from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode

_SAMPLE_EVERY_S = 60.0
_SAMPLES = 61  # an hour has 60 gaps between 61 samples
_RATE_MIN_S = 300.0
_RATE_MIN_INTERVALS = 5
# Every picture that a camera delivered ends in exactly one of these.
_ENDS = ("unusable", "dropped", "stale", "inferred", "failed")


class ConnectionQuality(StrEnum):
    """How well a camera delivers; from Frigate's page, where operators know the words."""

    EXCELLENT = "excellent"
    FAIR = "fair"
    POOR = "poor"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Connection:
    """One camera's last hour, or the time since the start when that is shorter.

    Attributes:
        expected_fps: Pictures per second that the configuration asks for.
        fps: Pictures per second that came, over the last five minutes or five intervals;
            ``None`` before the second sample.
        reconnects: Times the camera had to be opened again.
        stalls: Those of them because it fell silent.
    """

    expected_fps: float
    fps: float | None
    reconnects: int
    stalls: int

    def quality(self, *, is_up: bool) -> ConnectionQuality | None:
        """Return the verdict; ``None`` while a camera that is up has no rate yet."""
        if not is_up:
            return ConnectionQuality.UNUSABLE
        if self.fps is None:
            return None
        share = self.fps / self.expected_fps
        if share < 0.1:  # noqa: PLR2004 - the bounds stand here and in docs/operations.md
            return ConnectionQuality.UNUSABLE
        if self.reconnects == 0 and share >= 0.9:  # noqa: PLR2004
            return ConnectionQuality.EXCELLENT
        if self.reconnects <= 2 and share >= 0.6:  # noqa: PLR2004
            return ConnectionQuality.FAIR
        return ConnectionQuality.POOR


@dataclass(frozen=True, slots=True)
class _Count:
    pictures: float = 0.0
    reconnects: float = 0.0
    stalls: float = 0.0

    def is_beyond(self, later: _Count) -> bool:
        """Return whether ``later`` has less of anything: it began again at zero."""
        return (
            self.pictures > later.pictures
            or self.reconnects > later.reconnects
            or self.stalls > later.stalls
        )


_Sample = tuple[float, Mapping[str, _Count]]


class Connections:
    """A service that reads the counters once a minute, in the event loop.

    Its answers may be asked for from any thread.

    Args:
        metrics: The counters.
        clock: Monotonic time.
    """

    name = "connections"

    def __init__(self, *, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._samples: tuple[_Sample, ...] = ()  # replaced as a whole: others read it

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await self._clock.sleep(_SAMPLE_EVERY_S)

    def sample(self) -> None:
        """Remember what the counters say now."""
        latest = self._read()
        before = self._samples[-1][1] if self._samples else {}
        restarted = {
            camera
            for camera, count in before.items()
            if count.is_beyond(latest.get(camera, _Count()))
        }
        kept = self._samples[1 - _SAMPLES :]
        if restarted:
            kept = tuple(
                (at_s, {camera: n for camera, n in counts.items() if camera not in restarted})
                for at_s, counts in kept
            )
        self._samples = (*kept, (self._clock.monotonic_s(), latest))

    def connection(self, camera_id: CameraId, interval_s: float) -> Connection:
        """Return the last hour of a camera that is judged every ``interval_s``."""
        samples = self._samples
        if not samples:
            return Connection(1.0 / interval_s, None, 0, 0)
        now_s, latest = samples[-1]
        newest = latest.get(camera_id, _Count())
        oldest = samples[0][1].get(camera_id, _Count())
        window_s = max(_RATE_MIN_S, _RATE_MIN_INTERVALS * interval_s)
        old_enough = (s for s in reversed(samples) if now_s - s[0] >= window_s)
        begun_s, begun = next(old_enough, samples[0])
        lasted_s = now_s - begun_s
        pictures = newest.pictures - begun.get(camera_id, _Count()).pictures
        return Connection(
            expected_fps=1.0 / interval_s,
            fps=pictures / lasted_s if lasted_s >= _RATE_MIN_INTERVALS * interval_s else None,
            reconnects=round(newest.reconnects - oldest.reconnects),
            stalls=round(newest.stalls - oldest.stalls),
        )

    def _read(self) -> dict[str, _Count]:
        pictures: dict[str, float] = {}
        reconnects: dict[str, float] = {}
        stalls: dict[str, float] = {}
        for labels, value in _totals(self._metrics.frames):
            if labels["stage"] in _ENDS:
                pictures[labels["camera"]] = pictures.get(labels["camera"], 0.0) + value
        for labels, value in _totals(self._metrics.reconnects):
            camera = labels["camera"]
            reconnects[camera] = reconnects.get(camera, 0.0) + value
            if labels["reason"] == HealthCode.STALLED:
                stalls[camera] = stalls.get(camera, 0.0) + value
        return {
            camera: _Count(
                pictures.get(camera, 0.0), reconnects.get(camera, 0.0), stalls.get(camera, 0.0)
            )
            for camera in pictures.keys() | reconnects.keys()
        }


def _totals(counter: Counter) -> Iterator[tuple[Mapping[str, str], float]]:
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                yield sample.labels, sample.value
