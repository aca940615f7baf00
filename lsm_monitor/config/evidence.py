"""What is kept as proof of each event, and for how long: section ``evidence``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lsm_monitor.config.base import Seconds, Section

Blur = Literal["none", "outside_zones", "all"]


class EvidenceConfig(Section):
    """Pictures, mask, sidecar and clip of each event, in ``evidence`` of the state folder."""

    enabled: bool = True
    max_age_days: int = Field(
        default=30, ge=1, le=3650, description="Closed episodes are kept so long."
    )
    max_mb: int = Field(
        default=2048, ge=16, description="Beyond it the oldest closed episodes go first."
    )
    blur: Blur = Field(
        default="none",
        description="'outside_zones' and 'all' make people and number plates there coarse "
        "blocks; no picture is then kept without.",
    )
    clip_mb: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Memory per connected camera for the packets before an event, in MiB; "
        "0: no clips.",
    )
    clip_before_s: Seconds = Field(default=10.0, description="A clip begins so long before.")
    clip_after_s: Seconds = Field(default=10.0, description="It ends so long after.")

    hard_frames_per_day: int = Field(
        default=0,
        ge=0,
        le=96,
        description="So many doubtful pictures of each camera are kept for `export-hard`.",
    )
    hard_frames_mb: int = Field(
        default=512, ge=16, description="Beyond it the oldest of them go."
    )

    @model_validator(mode="after")
    def _blurred_pictures_teach_nothing(self) -> Self:
        if self.hard_frames_per_day and self.blur != "none":
            msg = (
                f"'hard_frames_per_day' is {self.hard_frames_per_day} and 'blur' is "
                f"'{self.blur}', but nothing can be learnt from blurred pictures; set "
                "hard_frames_per_day: 0 or blur: none"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _clips_show_everything(self) -> Self:
        if self.clip_mb and self.blur != "none":
            msg = (
                f"'clip_mb' is {self.clip_mb} and 'blur' is '{self.blur}', but original "
                "packets cannot be blurred; set clip_mb: 0 or blur: none"
            )
            raise ValueError(msg)
        return self
