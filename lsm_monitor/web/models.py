"""The JSON that the page and the daemon speak, as types: the OpenAPI document is made of them.

Fractions are shares in [0, 1], times are RFC 3339 in UTC, what is not known is ``null``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.publish.command_parser import is_clean
from lsm_monitor.types import HealthState, Trend, Verdict, WaterLevel

Role = Literal["viewer", "operator", "admin"]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Severity = Annotated[int, Field(ge=0, le=4)]
EVENT_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
CAMERA_ID = r"^[a-z0-9]([a-z0-9-]{0,198}[a-z0-9])?$"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True)


class SessionAnswer(_Wire):
    """Who asks, and what they may do."""

    user: str | None
    role: Role | None = Field(description="null: log in first.")
    csrf: str | None = Field(description="For the header X-CSRF-Token of every POST.")
    auth_required: bool
    site: str
    version: str
    started_at: AwareDatetime


class LoginAnswer(_Wire):
    """A new session; its id is in a cookie that scripts cannot read."""

    user: str
    role: Role
    csrf: str


class Login(BaseModel):
    """Name and password of a user."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field(min_length=1, max_length=64)
    password: str = Field(
        min_length=1, max_length=1024, json_schema_extra={"format": "password"}
    )


class Location(_Wire):
    """Where a camera hangs, WGS 84."""

    lat: float = Field(ge=-90.0, le=90.0)
    lon: float = Field(ge=-180.0, le=180.0)


class Depth(_Wire):
    """How deep the water is; ``max_cm`` is ``null`` above the highest mark."""

    min_cm: float
    max_cm: float | None


class NextLevelAnswer(_Wire):
    """When the next level comes if it goes on like this."""

    level: WaterLevel
    eta_s_min: float
    eta_s_max: float | None


class TrendAnswer(_Wire):
    """Which way the water goes, and how fast."""

    direction: Trend
    pp_per_min: float
    cm_per_min: float | None
    m2_per_min: float | None
    window_s: float
    is_rapid: bool
    next_level: NextLevelAnswer | None


class HealthAnswer(_Wire):
    """Whether a camera delivers pictures that can be judged."""

    state: HealthState
    codes: list[str]
    notes: list[str]
    detail: str
    since: AwareDatetime


class ZoneCard(_Wire):
    """One zone now."""

    level: WaterLevel
    severity: Severity | None = Field(description="As in MQTT; null: unknown.")
    water_fraction: Fraction | None
    confidence: Fraction | None
    depth: Depth | None
    area_m2: float | None
    trend: TrendAnswer | None
    since: AwareDatetime
    observed_at: AwareDatetime | None


class Card(_Wire):
    """One camera now; levels and numbers are those of its worst zone."""

    id: str
    title: str = Field(description="For people; the id when nobody gave one.")
    location: Location | None
    group: str | None
    enabled: bool
    interval_s: float
    level: WaterLevel
    severity: Severity | None
    since: AwareDatetime
    water_fraction: Fraction | None
    area_m2: float | None
    depth: Depth | None
    trend: TrendAnswer | None
    health: HealthAnswer
    observed_at: AwareDatetime | None
    picture: str | None = Field(description="Version of the newest picture.")
    zones: dict[str, ZoneCard]
    spark: list[tuple[int, Fraction]] = Field(
        description="Unix time in s and water fraction, one per minute of the last hour."
    )
    events: list[str] = Field(description="Ids of the camera's open episodes.")


class CameraList(_Wire):
    """Every camera, in the configuration's order."""

    cameras: list[Card]


class Geometry(_Wire):
    """What is drawn into a camera's picture, coordinates from 0 to 1, as in the YAML."""

    zones: dict[str, list[tuple[Fraction, Fraction]]]
    gauges: dict[str, dict[str, Any]]
    ground: dict[str, Any] | None


class CameraDetail(Card):
    """A card, and what is drawn into the picture."""

    geometry: Geometry


class ReadingAnswer(_Wire):
    """A zone at a time."""

    at: AwareDatetime
    fraction: Fraction | None
    fraction_max: Fraction | None
    level: WaterLevel
    depth_cm: float | None


class Readings(_Wire):
    """A camera's zones over time, thinned out to at most as many points as were asked for."""

    zones: dict[str, list[ReadingAnswer]]


class AcknowledgementAnswer(_Wire):
    """Who has seen an episode first."""

    by: str
    at: AwareDatetime


class FeedbackAnswer(_Wire):
    """What somebody says an episode was."""

    verdict: Verdict
    note: str
    by: str
    at: AwareDatetime


class EvidenceFileAnswer(_Wire):
    """A file that was kept of an event."""

    seq: int
    name: str
    kind: EvidenceKind
    url: str
    bytes: int


class Episode(_Wire):
    """One flood at one zone, as its newest event has it."""

    event_id: str = Field(pattern=EVENT_ID)
    camera: str
    zone: str
    status: Literal["open", "stale", "closed"]
    level: WaterLevel
    severity: Severity | None
    worst_level: WaterLevel
    peak_fraction: Fraction | None
    opened_at: AwareDatetime
    closed_at: AwareDatetime | None
    seq: int = Field(ge=1)
    acknowledged: AcknowledgementAnswer | None
    feedback: list[FeedbackAnswer]
    evidence: list[EvidenceFileAnswer]


class EpisodeList(_Wire):
    """Episodes, newest first."""

    episodes: list[Episode]
    next: str | None = Field(description="For 'before', to go on; null: there are no more.")


class EpisodeDetail(Episode):
    """An episode and its events, exactly as they were published over MQTT."""

    events: list[dict[str, Any]]


def _is_text(text: str) -> str:
    if not is_clean(text):
        msg = "has characters that are no text"
        raise ValueError(msg)
    return text


class FeedbackForm(BaseModel):
    """A verdict about an episode."""

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    note: Annotated[str, AfterValidator(_is_text)] = Field(default="", max_length=1000)


class Nothing(BaseModel):
    """An empty object."""

    model_config = ConfigDict(extra="forbid")
