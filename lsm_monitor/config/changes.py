"""What a new configuration changes, camera by camera: a reload touches nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from lsm_monitor.config.base import Section
from lsm_monitor.config.models import CameraConfig, MonitorConfig
from lsm_monitor.types import CameraId

SOURCE_KEYS = frozenset(
    {
        "url",
        "username",
        "password",
        "transport",
        "decode",
        "source",
        "tls_verify",
        "tls_ca_file",
        "hwaccel",
        "open_timeout_s",
        "read_timeout_s",
        "backoff_max_s",
    }
)
JUDGING_KEYS = frozenset(
    {
        "zones",
        "levels",
        "water_share_of",
        "smoothing_s",
        "open_for_s",
        "level_up_for_s",
        "close_for_s",
        "stale_after_s",
        "min_frames",
        "of_frames",
        "update_every_s",
        "trend",
        "gauges",
        "ground",
    }
)
TIMING_KEYS = frozenset(
    {"mode", "interval_s", "fast_interval_s", "idle_interval_s", "priority"}
)
_NEITHER = frozenset({"enabled", "group", "evidence_url", "title", "location"})
"""The first two are compared by what they do, the others are read when they are needed."""
_APPLIED_LIVE = frozenset(
    {
        "version",
        "cameras",
        "defaults",
        "groups",
        "profiles",
        "inventory",
        "logging",
        "reload_on_change",
    }
)
_MODEL = "model.bundle"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different in a new configuration; a camera that is in no set is untouched.

    A camera that is enabled counts as added, one that is disabled as removed. One camera may
    be in several of ``reopened``, ``rejudged`` and ``retimed``: each names one part of it.

    Attributes:
        added: Not watched before.
        removed: Not to be watched any more.
        reopened: Its source must be opened anew.
        rejudged: Its zones, levels or dwell times are others.
        retimed: Its mode, intervals, priority or trigger are others.
        new_model: The model is another bundle.
        restart_needed: Keys that only a restart applies, with dots, in the file's order.
    """

    added: frozenset[CameraId]
    removed: frozenset[CameraId]
    reopened: frozenset[CameraId]
    rejudged: frozenset[CameraId]
    retimed: frozenset[CameraId]
    new_model: bool
    restart_needed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Return whether anything is different."""
        return any(getattr(self, field.name) for field in fields(self))

    def __str__(self) -> str:
        """Return the changes as a person would say them: '2 added, 1 retimed'."""
        counts = [
            f"{len(getattr(self, name))} {name}"
            for name in ("added", "removed", "reopened", "rejudged", "retimed")
            if getattr(self, name)
        ]
        if self.new_model:
            counts.append("another model")
        if self.restart_needed:
            counts.append(f"a restart is needed for {', '.join(self.restart_needed)}")
        return ", ".join(counts) or "no changes"


def changes(old: MonitorConfig, new: MonitorConfig) -> Changes:
    """Return what must be done to get from ``old`` to ``new``."""
    before, after = _watched(old), _watched(new)
    both = before.keys() & after.keys()
    differing = {name: _differing(before[name], after[name]) for name in both}

    def touched(keys: frozenset[str]) -> frozenset[CameraId]:
        # A key that nobody classified touches every part: too much is safe, too little is not.
        known = SOURCE_KEYS | JUDGING_KEYS | TIMING_KEYS
        return frozenset(n for n, found in differing.items() if found & keys or found - known)

    sections = (key for key in MonitorConfig.model_fields if key not in _APPLIED_LIVE)
    triggers_moved = frozenset(
        name for name in both if old.trigger_of(before[name]) != new.trigger_of(after[name])
    )
    return Changes(
        added=frozenset(after.keys() - both),
        removed=frozenset(before.keys() - both),
        reopened=touched(SOURCE_KEYS),
        rejudged=touched(JUDGING_KEYS),
        retimed=touched(TIMING_KEYS) | triggers_moved,
        new_model=old.model.bundle != new.model.bundle,
        restart_needed=tuple(
            key for key in _needing_restart(old, new, sections) if key != _MODEL
        ),
    )


def _watched(config: MonitorConfig) -> dict[CameraId, CameraConfig]:
    return {CameraId(n): camera for n, camera in config.cameras.items() if camera.enabled}


def _differing(one: CameraConfig, other: CameraConfig) -> frozenset[str]:
    if one == other:  # quick: most of thousands are
        return frozenset()
    keys = CameraConfig.model_fields.keys() - _NEITHER
    return frozenset(key for key in keys if getattr(one, key) != getattr(other, key))


def _needing_restart(old: Section, new: Section, keys: Iterable[str]) -> Iterator[str]:
    """Yield the dotted keys of the sections whose values differ."""
    for key in keys:
        before, after = getattr(old, key), getattr(new, key)
        if isinstance(before, Section) and type(before) is type(after):
            for inner in _needing_restart(before, after, type(before).model_fields):
                yield f"{key}.{inner}"
        elif before != after:
            yield key
