"""The JSON of the HTTP port, as types: FastAPI makes its OpenAPI document of them.

``lsm-monitor status`` reads answers back through the same types, so that what some other
program says on that port is a clear error.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.runtime.connections import ConnectionQuality
from lsm_monitor.types import HealthState, WaterLevel

_Moment: TypeAlias = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""As on MQTT: the topic ``stats`` has the same bytes."""


class _Answer(BaseModel):
    """Base of the answers; keys of a newer daemon are ignored."""

    model_config = ConfigDict(frozen=True)


class Alive(_Answer):
    """Answer of ``/healthz``."""

    alive: bool
    standing_still: list[str] = Field(description="Parts without progress; empty when alive.")


class Ready(_Answer):
    """Answer of ``/readyz``."""

    ready: bool
    cameras: int = Field(ge=0, description="How many are watched.")
    deciding: int = Field(ge=0, description="How many of them are judged now.")
    durable: bool = Field(description="Events reach the disk before they are sent.")


class ZoneStats(_Answer):
    """One zone now."""

    level: WaterLevel
    water_fraction: float | None = Field(description="Smoothed, [0, 1]; null: not seen.")
    since: _Moment
    observed_at: _Moment | None


class CameraStats(_Answer):
    """One camera now, and its connection in the last hour."""

    state: HealthState
    codes: list[str]
    detail: str
    since: _Moment
    last_frame_at: _Moment | None = Field(description="When the newest usable one was taken.")
    expected_fps: float
    fps: float | None = Field(description="Over five minutes; null: not known yet.")
    reconnects_last_hour: int = Field(ge=0)
    stalls_last_hour: int = Field(ge=0)
    connection_quality: ConnectionQuality | None
    zones: dict[str, ZoneStats]


class Stats(_Answer):
    """Answer of ``/api/stats``, and the payload of the MQTT topic ``stats``."""

    schema_: Literal["lsm.stats/1"] = Field(default="lsm.stats/1", alias="schema")
    site: str
    sent_at: _Moment
    version: str
    model: str
    started_at: _Moment
    ready: bool
    cameras: dict[str, CameraStats]
    metrics: dict[str, float]
