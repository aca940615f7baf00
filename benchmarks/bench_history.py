"""What the history costs: processor time, room on the disk, and the wait for an answer.

    python benchmarks/bench_history.py [--zones 1000] [--hours 26]

Plays a city's readings through the real history on a clock of its own: half of the zones are
dry and flicker, the others' water rises and falls.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from lsm_monitor.history.history import HISTORY_FILE, History
from lsm_monitor.history.query import read
from lsm_monitor.history.tiers import HistoryLimits
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, WaterLevel, WaterState, ZoneId

INTERVAL_S = 10
WRITE_EVERY_S = 5
WATER_MEAN = 0.3
START = datetime(2026, 7, 1, tzinfo=UTC)


class PlayedClock:
    """A clock that the benchmark moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic_s(self) -> float:
        """Return the played seconds."""
        return self.now_s

    def now(self) -> datetime:
        """Return the played time."""
        return START + timedelta(seconds=self.now_s)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds


class City:
    """Zones, one per camera, a tenth of which is looked at in each second."""

    def __init__(self, zones: int) -> None:
        self._random = np.random.default_rng(0)
        self._states = [self._state(zone, 0) for zone in range(zones)]

    def at(self, second: int) -> list[WaterState]:
        """Return all states after the pictures of ``second``."""
        for zone in range(second % INTERVAL_S, len(self._states), INTERVAL_S):
            self._states[zone] = self._state(zone, second)
        return self._states

    def _state(self, zone: int, second: int) -> WaterState:
        flicker = float(self._random.random()) * 0.02
        water = WATER_MEAN + 0.3 * np.sin(second / 5000 + zone) if zone % 2 else 0.0
        level = WaterLevel.FLOODED if water > WATER_MEAN else WaterLevel.DRY
        at = START + timedelta(seconds=second)
        camera_id, zone_id = CameraId(f"camera-{zone}"), ZoneId("road")
        return WaterState(camera_id, zone_id, level, float(water) + flicker, 0.9, START, at)


def play(history: History, clock: PlayedClock, zones: int, hours: float) -> tuple[float, float]:
    """Return processor seconds per played second: handing over, and writing."""
    city = City(zones)
    handed_s = written_s = 0.0
    for second in range(int(hours * 3600)):
        states = city.at(second)
        clock.now_s = second
        began_s = time.thread_time()
        for state in states:  # as the judges do: each camera for itself, at each tick
            history.record((state,))
        handed_s += time.thread_time() - began_s
        if second % WRITE_EVERY_S == 0:
            began_s = time.thread_time()
            history.flush()
            written_s += time.thread_time() - began_s
    return handed_s / (hours * 3600), written_s / (hours * 3600)


def question_ms(path: Path, end: datetime, points: int) -> tuple[float, int]:
    """Return the processor time of an answer about 24 h of a camera, and its readings."""
    took_s, counts = [], []
    for i in range(10):
        began_s = time.thread_time()
        zones = read(path, CameraId(f"camera-{i}"), end - timedelta(days=1), end, points)
        took_s.append(time.thread_time() - began_s)
        counts.append(sum(len(readings) for readings in zones.values()))
    return float(np.median(took_s)) * 1000, max(counts)


def main() -> None:
    """Print the tables in ``results.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--zones", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=26)
    options = parser.parse_args()
    clock = PlayedClock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / HISTORY_FILE
        limits = HistoryLimits(max_bytes=1 << 40)
        history = History(path, limits=limits, metrics=Metrics(), clock=clock)
        handed, written = play(history, clock, options.zones, options.hours)
        print(f"handing over {handed:.3%} of a core, writing {written:.3%}")
        zone_days = options.zones * options.hours / 24
        print(f"{path.stat().st_size / zone_days / 1000:.0f} kB per zone and day, all tiers")
        for points in (300, 1000, 10_000):
            took_ms, count = question_ms(path, clock.now(), points)
            print(f"| 24 h, at most {points} points | {count} | {took_ms:.1f} |")


if __name__ == "__main__":
    main()
