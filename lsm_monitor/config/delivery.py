"""How events are kept and in which other form they are told: sections ``store`` and ``cap``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lsm_monitor.config.base import LONGEST_DAYS, Days, Period, Section

# What XML 1.0 cannot carry would make an alert that nobody can read.
_Text = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f\ufffe\uffff]+$"),
]
_Latitude = Annotated[float, Field(ge=-90.0, le=90.0)]
_Longitude = Annotated[float, Field(ge=-180.0, le=180.0)]


class ReadingsConfig(Section):
    """How long readings are kept, in a file of their own; finer ones for a shorter time."""

    raw_hours: int = Field(
        default=48, ge=1, le=24 * LONGEST_DAYS, description="Every reading is kept so long."
    )
    minute_days: Days = Field(default=30, description="One per minute is kept so long.")
    quarter_hour_days: Days = Field(
        default=730, description="One per quarter of an hour is kept so long."
    )
    max_mb: int = Field(
        default=1024,
        ge=16,
        description="Beyond it the oldest go, of those that take the most room.",
    )


class StoreConfig(Section):
    """How much is kept; an alert is never dropped for the size of the outbox's file."""

    max_mb: int = Field(
        default=512,
        ge=16,
        description="Beyond it history goes first, then the oldest updates that are no "
        "escalation.",
    )
    history_days: Days = Field(
        default=400, description="Events, verdicts and dead letters are kept so long."
    )
    history_events: int = Field(default=100_000, ge=100, description="Most events kept.")
    readings: ReadingsConfig = ReadingsConfig()


class CapAreaConfig(Section):
    """Where a camera's road lies."""

    description: _Text = Field(description="For people: 'Wensan Road underpass'.")
    circle: tuple[_Latitude, _Longitude, Annotated[float, Field(ge=0.0)]] | None = Field(
        default=None, description="[latitude, longitude, radius in km], WGS 84."
    )
    polygon: tuple[tuple[_Latitude, _Longitude], ...] = Field(
        default=(), description="Corners as [latitude, longitude], WGS 84; closes by itself."
    )

    @model_validator(mode="after")
    def _is_one_shape(self) -> Self:
        if self.circle is not None and self.polygon:
            msg = "give either 'circle' or 'polygon', not both"
            raise ValueError(msg)
        if self.polygon and len(set(self.polygon)) < 3:  # noqa: PLR2004 - a triangle
            msg = f"a polygon needs at least 3 corners, got {len(set(self.polygon))}"
            raise ValueError(msg)
        return self


class CapConfig(Section):
    """Also tell every event as a CAP 1.2 alert, on <base>/cap."""

    sender: str = Field(
        pattern=r"^[^\s,<&\x00-\x1f\x7f\ufffe\uffff]+$",
        max_length=200,
        description="Who warns, unique in the world: 'flood@city.example'.",
    )
    status: Literal["Test", "Actual"] = Field(
        default="Test", description="'Actual' makes receivers act on it."
    )
    language: str = Field(default="en-US", pattern=r"^[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*$")
    event: _Text = Field(default="Road waterlogging", description="In 'language'.")
    restriction: _Text = Field(
        default="For the services of the city only.",
        description="Whom it is for; the scope is always Restricted.",
    )
    expires_s: Period = Field(
        default=86400.0, description="An alert that nobody updates ends by itself after this."
    )
    areas: dict[str, CapAreaConfig] = Field(
        default={}, description="By camera; one that is missing goes by its name only."
    )
