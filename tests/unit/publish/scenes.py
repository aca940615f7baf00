"""Events, states and messages for the publish tests, with values that are easy to recognise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    DepthInterval,
    Episode,
    EventKind,
    EvidenceWindow,
    HealthState,
    ModelIdentity,
    NextLevel,
    OutboundMessage,
    ReasonCode,
    Trend,
    WaterEvent,
    WaterLevel,
    WaterState,
    WaterTrend,
    ZoneId,
)

UNDERPASS, LANE = CameraId("wensan-underpass"), ZoneId("lane-1")
OPENED_AT = datetime(2026, 7, 18, 5, 55, 2, 114_000, tzinfo=UTC)
EVENT_ID = UUID("019816a2-7c1e-7b60-9f0e-2b1f6a1d9c55")
PROVENANCE = Provenance(
    site="hz-west",
    software="0.9.0",
    config="c3f1a9",
    model=ModelIdentity("lsm-uw", "1.4.0", "5f" * 32, "tensorrt-fp16"),
)
HEALTHY = CameraHealth(UNDERPASS, HealthState.USABLE, (), "", OPENED_AT, reconnects=0)
TOPICS = Topics("lsm/v1", "hz-west")
MESSAGES = Messages(TOPICS, PROVENANCE)
EVENT_TOPIC = "lsm/v1/hz-west/camera/wensan-underpass/event"
ACTIVE_TOPIC = f"lsm/v1/hz-west/event/active/{EVENT_ID}"

RISING = WaterTrend(
    direction=Trend.RISING,
    pp_per_min=0.41,
    cm_per_min=0.22,
    m2_per_min=1.14,
    window_s=890.0,
    is_rapid=False,
    next_level=NextLevel(WaterLevel.SEVERE, 2310.0, 3540.0),
)


def after(seconds: float) -> datetime:
    return OPENED_AT + timedelta(seconds=seconds)


def state_of(
    level: WaterLevel = WaterLevel.FLOODED,
    fraction: float | None = 0.31,
    confidence: float | None = 0.91,
    zone_id: ZoneId = LANE,
) -> WaterState:
    """Return a state as the judge makes it: with numbers where there is a fraction."""
    is_known = fraction is not None
    return WaterState(
        camera_id=UNDERPASS,
        zone_id=zone_id,
        level=level,
        water_fraction=fraction,
        confidence=confidence,
        since=after(0.0),
        observed_at=after(498.756),
        area_m2=86.4 if is_known else None,
        depth=DepthInterval(15.0, 25.0, "gauge:kerb-a") if is_known else None,
        trend=RISING if is_known else None,
    )


def event_of(
    kind: EventKind = EventKind.UPDATE,
    *,
    seq: int = 2,
    level: WaterLevel = WaterLevel.FLOODED,
    event_id: UUID = EVENT_ID,
    zone_id: ZoneId = LANE,
    calm: bool = False,
) -> WaterEvent:
    """Return an event as the judge makes it: without numbers while the level is unknown.

    ``calm`` makes an update that is no escalation.
    """
    is_known = level is not WaterLevel.UNKNOWN
    held = level if level in {WaterLevel.FLOODED, WaterLevel.SEVERE} else WaterLevel.PONDING
    return WaterEvent(
        kind=kind,
        episode=Episode(
            event_id=event_id,
            camera_id=UNDERPASS,
            zone_id=zone_id,
            seq=seq,
            level=held,
            is_stale=kind is EventKind.STALE,
            opened_at=OPENED_AT,
            peak_fraction=0.33,
        ),
        state=state_of(
            level,
            fraction=0.31 if is_known else None,
            confidence=0.91 if is_known else None,
            zone_id=zone_id,
        ),
        previous_level=WaterLevel.PONDING,
        observed_at=after(498.756),
        closed_at=after(498.756) if kind is EventKind.CLOSE else None,
        reasons=(
            ReasonCode.LEVEL_DOWN if calm else ReasonCode.LEVEL_UP,
            ReasonCode.PERSISTENT,
        ),
        evidence=EvidenceWindow(after(-60.0), after(498.756), frames=56, frames_usable=53),
    )


def messages_of(event: WaterEvent) -> tuple[OutboundMessage, ...]:
    return MESSAGES.event(event, health=HEALTHY, sent_at=after(499.288))
