"""Water levels: from which share of a zone each begins, and below which it ends."""

from __future__ import annotations

import itertools
from typing import Self

from pydantic import Field, model_validator

from lsm_monitor.config.base import Fraction, Section


class LevelConfig(Section):
    """Hysteresis band of one water level."""

    enter: Fraction = Field(description="Share of the zone from which the level begins.")
    leave: Fraction = Field(description="Share of the zone below which it ends.")

    @model_validator(mode="after")
    def _leave_is_below_enter(self) -> Self:
        if self.leave >= self.enter:
            msg = (
                f"'leave' ({self.leave:g}) must be below 'enter' ({self.enter:g}), "
                f"or the level would flap; try leave: {0.6 * self.enter:g}"
            )
            raise ValueError(msg)
        return self


class LevelsConfig(Section):
    """Bands of all levels; ``ponding`` is the one that opens and closes an episode."""

    wet: LevelConfig = LevelConfig(enter=0.02, leave=0.01)
    ponding: LevelConfig = LevelConfig(enter=0.08, leave=0.04)
    flooded: LevelConfig = LevelConfig(enter=0.25, leave=0.18)
    severe: LevelConfig = LevelConfig(enter=0.50, leave=0.40)

    @model_validator(mode="after")
    def _levels_rise(self) -> Self:
        names = ("wet", "ponding", "flooded", "severe")
        for lower, upper in itertools.pairwise(names):
            low, high = getattr(self, lower), getattr(self, upper)
            if not (low.enter < high.enter and low.leave < high.leave):
                msg = (
                    f"'{upper}' (enter {high.enter:g}, leave {high.leave:g}) must lie above "
                    f"'{lower}' (enter {low.enter:g}, leave {low.leave:g}) in both numbers"
                )
                raise ValueError(msg)
        return self
