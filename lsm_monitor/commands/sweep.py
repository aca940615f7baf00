"""Many settings judged on the same masks: what each of them would have told.

The model has run; what is left is the daemon's own filter over pixels, once per
``smoothing_s``, and its own rules, once per setting.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lsm_monitor.commands.raw_masks import RawMasks
from lsm_monitor.config.models import CameraConfig, CameraDefaults
from lsm_monitor.runtime.judging import water_rules
from lsm_monitor.types import WaterLevel
from lsm_monitor.water.scoring import (
    EventScore,
    Span,
    TimedReading,
    alarm_spans,
    merged,
    score_alarms,
)
from lsm_monitor.water.smoothing import MaskSmoother
from lsm_monitor.water.state import WaterRules
from lsm_monitor.water.zones import ZoneReader, zones_of

Values = Mapping[str, float]
"""Settings by key, with dots: ``{"levels.ponding.enter": 0.08, "open_for_s": 30}``."""
Axis = Sequence[Values]
"""What is tried of some keys: each of one axis is tried with each of all the others."""

_ENTER_FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_DWELL_FACTORS = (0.25, 0.5, 1.0, 2.0)
_CLOSE_FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledVideo:
    """A video: its floods, its camera and its masks.

    Attributes:
        floods: Those that shall alarm.
        camera: Its settings and zones.
        raw: What the model saw.
    """

    floods: tuple[Span, ...]
    camera: CameraConfig
    raw: RawMasks


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting and what it would have told.

    Attributes:
        values: The setting.
        scores: Of each video, in their order.
    """

    values: Values
    scores: tuple[EventScore, ...]

    @property
    def total(self) -> EventScore:
        """Of all videos."""
        return sum(self.scores, EventScore())


def default_axes(camera: CameraDefaults, level: WaterLevel) -> list[Axis]:
    """Return what is tried around the present settings; these are among them.

    Args:
        camera: The present settings.
        level: The level that alarms.
    """
    band = getattr(camera.levels, level)
    dwell = "open_for_s" if level is WaterLevel.PONDING else "level_up_for_s"
    axes: list[Axis] = [
        [
            {
                f"levels.{level}.enter": _rounded(factor * band.enter),
                f"levels.{level}.leave": _rounded(factor * band.leave),
            }
            for factor in _ENTER_FACTORS
        ],
        [{dwell: _rounded(factor * getattr(camera, dwell))} for factor in _DWELL_FACTORS],
        [{"close_for_s": _rounded(factor * camera.close_for_s)} for factor in _CLOSE_FACTORS],
    ]
    if level is WaterLevel.PONDING:
        m, n = camera.min_frames, camera.of_frames
        frames = sorted({max(1, m - 1), m, min(m + 1, n), n})
        axes.append([{"min_frames": m} for m in frames])
    return axes


def with_axes(axes: Sequence[Axis], asked: Mapping[str, Sequence[float]]) -> list[Axis]:
    """Return ``axes`` with those keys tried that were asked for, and only as asked."""
    kept = [axis for axis in axes if not any(asked.keys() & values.keys() for values in axis)]
    return [*kept, *([{key: value} for value in values] for key, values in asked.items())]


def present(camera: CameraDefaults, keys: Sequence[str]) -> Values:
    """Return what ``camera`` has for ``keys``.

    Raises:
        KeyError: It has no such key, or its value is no number.
    """
    dumped = _dumped(camera)
    result = {}
    for key in keys:
        value: Any = dumped
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise KeyError(key)
        result[key] = value
    return result


def settings_of(axes: Sequence[Axis], camera: CameraDefaults) -> list[Values]:
    """Return every combination that is a valid configuration, the present one first."""
    keys = [key for axis in axes for key in axis[0]]
    now = present(camera, keys)
    tried = [now]
    for choice in itertools.product(*axes):
        values = {key: value for part in choice for key, value in part.items()}
        if values != now and _changed(camera, values) is not None:
            tried.append(values)
    return tried


def sweep(
    videos: Sequence[LabelledVideo],
    settings: Sequence[Values],
    *,
    now: Values | None = None,
    level: WaterLevel,
    slack_s: float,
) -> Iterator[Trial]:
    """Yield each setting with its scores.

    A setting that a camera's other keys do not allow is left out.

    Args:
        videos: At least one.
        settings: What to try.
        now: The present setting, of ``defaults`` perhaps: what a video's camera says otherwise
            itself stays so whatever is tried. ``None``: every camera takes what is tried.
        level: The level that alarms.
        slack_s: See :func:`lsm_monitor.water.scoring.score_alarms`.
    """
    timed = [_Readings(video) for video in videos]
    own = [_own_keys(video.camera, now or {}) for video in videos]
    # One filter's readings are in memory at a time.
    ordered = sorted(settings, key=lambda values: values.get("smoothing_s", 0.0))
    for values in ordered:
        scores = []
        for video, seen, fixed in zip(videos, timed, own, strict=True):
            taken = {key: value for key, value in values.items() if key not in fixed}
            changed = _changed(video.camera, taken)
            if changed is None:
                break
            rules = water_rules(changed)
            spans = merged(
                span
                for zone in seen.under(changed, rules)
                for span in alarm_spans(zone, rules, level)
            )
            scores.append(
                score_alarms(
                    [span.from_s for span in spans],
                    video.floods,
                    watched_s=video.raw.watched_s,
                    slack_s=slack_s,
                )
            )
        else:
            yield Trial(values, tuple(scores))


class _Readings:
    """The readings of a video's zones under the newest filter that was asked for."""

    def __init__(self, video: LabelledVideo) -> None:
        self._video = video
        self._filter: tuple[float, float] | None = None
        self._timed: list[list[TimedReading]] = []

    def under(self, settings: CameraDefaults, rules: WaterRules) -> list[list[TimedReading]]:
        """Return one list per zone."""
        smoothing_s = max(settings.smoothing_s, settings.interval_s)
        wanted = (smoothing_s, rules.stale_after_s)
        if self._filter != wanted:
            self._timed = self._read(*wanted)
            self._filter = wanted
        return self._timed

    def _read(self, smoothing_s: float, max_gap_s: float) -> list[list[TimedReading]]:
        camera = self._video.camera
        zones = zones_of({name: zone.points for name, zone in camera.zones.items()})
        smoother = MaskSmoother(smoothing_s=smoothing_s, max_gap_s=max_gap_s)
        reader = ZoneReader(zones)
        timed: list[list[TimedReading]] = [[] for _ in zones]
        for time_s, mask in self._video.raw.water_masks():
            readings = (
                [None] * len(zones)
                if mask is None
                else reader.read(mask, smoother.update(mask))
            )
            for zone, reading in zip(timed, readings, strict=True):
                zone.append(TimedReading(time_s, reading))
        return timed


def _own_keys(camera: CameraDefaults, now: Values) -> frozenset[str]:
    """Return the keys of ``now`` to which ``camera`` gives another value."""
    its = present(camera, list(now))
    return frozenset(key for key, value in now.items() if its[key] != value)


def _changed(camera: CameraDefaults, values: Values) -> CameraDefaults | None:
    """Return ``camera`` with ``values``; ``None`` when that is no valid configuration."""
    dumped = _dumped(camera)
    for key, value in values.items():
        *above, last = key.split(".")
        section = dumped
        for part in above:
            section = section[part]
        section[last] = value
    try:
        return CameraDefaults.model_validate(dumped)
    except ValidationError:
        return None


def _dumped(camera: CameraDefaults) -> dict[str, Any]:
    return camera.model_dump(include=set(CameraDefaults.model_fields))


def _rounded(value: float) -> float:
    """Return a number that a person would write."""
    return float(f"{value:.3g}")
