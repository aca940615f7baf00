"""What ``replay --out`` writes of one video: events and readings as they come, then a timeline.

Lines are written through to the disk's cache one by one: what a crash leaves is complete up to
its last line.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lsm_monitor.commands.replay import Moment, ReplayResult
from lsm_monitor.commands.timeline import ZoneTimeline, draw_timeline, write_timeline
from lsm_monitor.errors import StoreError
from lsm_monitor.types import WaterEvent, WaterState, ZoneReading
from lsm_monitor.water.state import WaterRules

READINGS_COLUMNS = (
    "time_s",
    "at",
    "zone",
    "instant_fraction",
    "water_fraction",
    "level",
    "depth_min_cm",
    "depth_max_cm",
    "area_m2",
    "trend",
    "pp_per_min",
    "codes",
)


class ReplayFiles:
    """The files of one video: ``STEM.events.jsonl``, ``.readings.csv``, ``.timeline.*``.

    Args:
        stem: Their path up to the first dot; the folder is made when it is missing.
        rules: For the timeline.

    Raises:
        StoreError: They cannot be written; here and in all methods.
    """

    def __init__(self, stem: Path, rules: WaterRules) -> None:
        self._stem = stem
        self._rules = rules
        self._zones: dict[str, ZoneTimeline] = {}
        self._payloads: list[bytes] = []
        with self._translated():
            stem.parent.mkdir(parents=True, exist_ok=True)
            self._events = stem.with_name(f"{stem.name}.events.jsonl").open("wb", buffering=0)
            self._readings = stem.with_name(f"{stem.name}.readings.csv").open(
                "w", encoding="utf-8", newline="", buffering=1
            )
            self._table = csv.writer(self._readings, lineterminator="\n")
            self._table.writerow(READINGS_COLUMNS)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files; there is a timeline only after :meth:`finish`."""
        with self._translated():
            self._events.close()
            self._readings.close()

    def take(self, moment: Moment) -> None:
        """Write one picture's lines."""
        readings = {reading.zone_id: reading for reading in moment.judgement.readings}
        with self._translated():
            for payload in moment.payloads:
                self._events.write(payload + b"\n")
            for state in moment.judgement.states:
                reading = readings.get(state.zone_id)
                self._table.writerow(_row(moment, state, reading))
                self._note(moment, state, reading)
        self._payloads += moment.payloads
        for event in moment.judgement.events:
            zone = self._zones[event.episode.zone_id]
            zone.events.append((moment.stamp.decoded_mono_s, _label(event)))

    def finish(self, video: Path, result: ReplayResult) -> None:
        """Draw the timeline of what was written, if there is anything."""
        if not self._zones:
            return
        with self._translated():
            write_timeline(
                self._stem,
                draw_timeline(self._zones, self._rules, video.name),
                title=video.name,
                summary=result.line(video),
                payloads=self._payloads,
            )

    def _note(self, moment: Moment, state: WaterState, reading: ZoneReading | None) -> None:
        zone = self._zones.setdefault(state.zone_id, ZoneTimeline())
        zone.times_s.append(moment.stamp.decoded_mono_s)
        zone.instant.append(None if reading is None else reading.instant_fraction)
        zone.smoothed.append(None if reading is None else reading.water_fraction)
        zone.levels.append(state.level)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            msg = f"{self._stem.parent}: {exc.strerror}; choose another --out"
            raise StoreError(msg) from None


def _label(event: WaterEvent) -> str:
    level = event.state.level
    return event.kind if event.kind in {"close", "stale"} else f"{event.kind}: {level}"


def _row(moment: Moment, state: WaterState, reading: ZoneReading | None) -> tuple[object, ...]:
    """Return one line of the table; what is not known is empty."""
    stamp, trend = moment.stamp, state.trend
    depth = None if reading is None else reading.depth
    return (
        f"{stamp.decoded_mono_s:.3f}",
        stamp.decoded_at.isoformat(timespec="milliseconds"),
        state.zone_id,
        None if reading is None else f"{reading.instant_fraction:.5f}",
        None if reading is None else f"{reading.water_fraction:.5f}",
        state.level,
        None if depth is None else f"{depth.min_cm:g}",
        None if depth is None or depth.max_cm is None else f"{depth.max_cm:g}",
        None if reading is None or reading.area_m2 is None else f"{reading.area_m2:.2f}",
        None if reading is None or trend is None else trend.direction,
        None if reading is None or trend is None else f"{trend.pp_per_min:.3f}",
        " ".join(moment.codes),
    )
