"""States as the judges give them, and a history to put them into."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from lsm_monitor.history.history import History
from lsm_monitor.history.tiers import HistoryLimits
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, DepthInterval, WaterLevel, WaterState, ZoneId
from tests.fakes import FakeClock

STREET = CameraId("street")
ROAD = ZoneId("road")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def state(
    seconds: float,
    fraction: float | None = 0.0,
    level: WaterLevel = WaterLevel.DRY,
    *,
    camera: str = STREET,
    zone: str = ROAD,
    depth: DepthInterval | None = None,
) -> WaterState:
    """Return what is believed after the picture of ``seconds`` after noon."""
    return WaterState(
        CameraId(camera), ZoneId(zone), level, fraction, 0.9, NOON, at(seconds), depth=depth
    )


class Recorder:
    """A history whose clock stands at the newest picture."""

    def __init__(
        self, path: Path, *, limits: HistoryLimits | None = None, metrics: Metrics | None = None
    ) -> None:
        self.clock = FakeClock()
        self.metrics = metrics or Metrics()
        self.history = History(
            path,
            limits=limits or HistoryLimits(),
            metrics=self.metrics,
            clock=self.clock,
        )

    def set_clock(self, seconds: float) -> None:
        self.clock.now_s += (at(seconds) - self.clock.now()).total_seconds()

    def see(self, *states: WaterState) -> None:
        """Record states one by one and write them, at the time of the last picture."""
        for one in states:
            self.history.record([one])
        newest = max(s.observed_at for s in states if s.observed_at)
        self.write(at_s=(newest - NOON).total_seconds())

    def write(self, *, at_s: float) -> None:
        self.set_clock(at_s)
        self.history.flush()
