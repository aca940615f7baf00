"""How often a camera is looked at, and when it may be left alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lsm_monitor.config.base import Seconds, Section

Mode = Literal["continuous", "patrol", "triggered"]


class WatchSettings(Section):
    """Keys of a camera, a group and ``defaults``; see ``config/intervals.py``."""

    mode: Mode = Field(
        default="continuous",
        description="'continuous' stays connected; 'patrol' connects for one picture per "
        "interval; 'triggered' patrols at 'idle_interval_s' until its group's trigger is on.",
    )
    fast_interval_s: Seconds | None = Field(
        default=None,
        description="Instead of 'interval_s' while a change of level is pending or the "
        "group's trigger is on. Default: a third of 'interval_s', but not below 2 s.",
    )
    idle_interval_s: Seconds = Field(
        default=900.0,
        description="Of a 'triggered' camera: instead of 'interval_s' while its group's "
        "trigger is off and no episode is open.",
    )
    priority: int = Field(
        default=5,
        ge=0,
        le=9,
        description="When the patrol is late, cameras with a higher number come first.",
    )


class CaptureConfig(Section):
    """How the daemon shares its capture between cameras."""

    cameras_per_process: int = Field(
        default=25, ge=1, le=500, description="What one hang of a decoder can hold up."
    )
    patrol_parallel: int = Field(
        default=16, ge=1, le=256, description="Most patrolled cameras connected at once."
    )
