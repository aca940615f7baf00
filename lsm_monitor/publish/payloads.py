"""The JSON on the wire: one pure function per message, bytes out.

The keys and their order are the public contract (``lsm_monitor/schemas``, ``docs/mqtt.md``).
Every key is always there; what is not known is ``null``. Times are RFC 3339 in UTC with
milliseconds. Nothing here can carry an address or a credential.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lsm_monitor.types import (
    CameraHealth,
    EventKind,
    ModelIdentity,
    NextLevel,
    PromisedEvidence,
    WaterEvent,
    WaterLevel,
    WaterState,
)

Json = dict[str, object]

OBSERVED_FROM: Final = 0.8
"""Confidence from which water counts as observed and not merely likely."""
_SEVERITY: Mapping[WaterLevel, int] = {
    WaterLevel.DRY: 0,
    WaterLevel.WET: 0,
    WaterLevel.PONDING: 1,
    WaterLevel.FLOODED: 2,
    WaterLevel.SEVERE: 3,
}
# Not to be seen is worse news than a wet road, and better than water that is seen.
_WORST_LAST = (
    WaterLevel.DRY,
    WaterLevel.WET,
    WaterLevel.UNKNOWN,
    WaterLevel.PONDING,
    WaterLevel.FLOODED,
    WaterLevel.SEVERE,
)
_NO_EVIDENCE = PromisedEvidence()
_DETAIL_MAX_CHARACTERS = 300
_PROBLEM_MAX_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who says it: stands in every event.

    Attributes:
        site: Name of the installation.
        software: Version of this package.
        config: Hash of the configuration, hex.
        model: Which model judged.
    """

    site: str
    software: str
    config: str
    model: ModelIdentity


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` in UTC with milliseconds, such as ``2026-07-18T06:03:20.870Z``.

    Raises:
        ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        msg = f"{moment} has no time zone; times on the wire are UTC"
        raise ValueError(msg)
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def event_payload(
    event: WaterEvent,
    *,
    health: CameraHealth,
    provenance: Provenance,
    sent_at: datetime,
    evidence: PromisedEvidence = _NO_EVIDENCE,
) -> bytes:
    """Return an event; see ``event.schema.json``.

    Args:
        event: What happened.
        health: The camera's health at that time.
        provenance: Who says it.
        sent_at: When it is written to the outbox: sent again, it is the same bytes.
        evidence: Files that will show it.
    """
    episode, state = event.episode, event.state
    is_closed = event.kind is EventKind.CLOSE
    # Blind inside an episode: as severe as what was seen last.
    severity = _SEVERITY.get(state.level, _SEVERITY[episode.level])
    open_status = "stale" if episode.is_stale else "open"
    return _encode(
        {
            "schema": "lsm.event/1",
            "event_id": str(episode.event_id),
            "seq": episode.seq,
            "event_type": event.kind.value,
            "site": provenance.site,
            "camera": state.camera_id,
            "zone": state.zone_id,
            "status": "closed" if is_closed else open_status,
            "level": state.level.value,
            "previous_level": event.previous_level.value,
            "severity": severity,
            "certainty": _certainty(state),
            "confidence": _rounded(state.confidence),
            "opened_at": rfc3339(episode.opened_at),
            "observed_at": rfc3339(event.observed_at),
            "sent_at": rfc3339(sent_at),
            "closed_at": rfc3339(event.closed_at) if event.closed_at else None,
            "water": _water(state, episode.peak_fraction),
            "reason_codes": [reason.value for reason in event.reasons],
            "suppressed": event.suppressed,
            "evidence_window": {
                "start": rfc3339(event.evidence.start),
                "end": rfc3339(event.evidence.end),
                "frames": event.evidence.frames,
                "frames_usable": event.evidence.frames_usable,
            },
            "quality": {
                "state": health.state.value,
                "codes": [code.value for code in health.codes],
            },
            # Hashes stand in the sidecar: an event does not wait for a disk.
            "evidence": {"snapshot": evidence.snapshot, "sha256": None, "clip": evidence.clip},
            "model": _model(provenance.model),
            "software": provenance.software,
            "config": provenance.config,
        }
    )


def severity_of(level: WaterLevel) -> int | None:
    """Return a level as a number, larger is worse; ``None`` while it is unknown."""
    return _SEVERITY.get(level)


def state_payload(state: WaterState, *, site: str, sent_at: datetime) -> bytes:
    """Return the belief about a zone; see ``state.schema.json``."""
    return _encode(
        {
            "schema": "lsm.state/1",
            "site": site,
            "camera": state.camera_id,
            "zone": state.zone_id,
            "level": state.level.value,
            "severity": severity_of(state.level),
            "certainty": _certainty(state),
            "confidence": _rounded(state.confidence),
            "water": _water(state, None),
            "since": rfc3339(state.since),
            "observed_at": rfc3339(state.observed_at) if state.observed_at else None,
            "sent_at": rfc3339(sent_at),
        }
    )


def worst_level(levels: Iterable[WaterLevel]) -> WaterLevel:
    """Return the worst of ``levels``, which are not empty."""
    return max(levels, key=_WORST_LAST.index)


def worst_state(states: Sequence[WaterState]) -> WaterState:
    """Return the state of the worst zone; of equal levels, the one with more water.

    Raises:
        ValueError: ``states`` is empty.
    """
    return max(
        states,
        key=lambda state: (_WORST_LAST.index(state.level), state.water_fraction or 0.0),
    )


def health_payload(health: CameraHealth, *, site: str) -> bytes:
    """Return a camera's health; see ``health.schema.json``."""
    codes = [code.value for code in health.codes]
    return _encode(
        {
            "schema": "lsm.health/1",
            "site": site,
            "camera": health.camera_id,
            "state": health.state.value,
            "reason_codes": codes,
            # The same again: the contract names the list so, as an event's, but its template
            # for Home Assistant, which people have copied by hand, reads 'codes'.
            "codes": codes,
            "notes": [note.value for note in health.notes],
            "detail": health.detail[:_DETAIL_MAX_CHARACTERS],
            "since": rfc3339(health.since),
            "reconnects": health.reconnects,
        }
    )


def info_payload(
    provenance: Provenance,
    *,
    device: str,
    started_at: datetime,
    reason: str,
    problem: str | None = None,
) -> bytes:
    """Return what runs here, and since when; see ``info.schema.json``."""
    return _encode(
        {
            "schema": "lsm.info/1",
            "site": provenance.site,
            "version": provenance.software,
            "model": _model(provenance.model),
            "device": device,
            "config": provenance.config,
            "started_at": rfc3339(started_at),
            "reason": reason,
            "problem": None if problem is None else problem[:_PROBLEM_MAX_CHARACTERS],
        }
    )


def _water(state: WaterState, peak_fraction: float | None) -> Json:
    depth, trend = state.depth, state.trend
    return {
        "fraction": _rounded(state.water_fraction),
        "fraction_peak": _rounded(peak_fraction),
        "area_m2": _rounded(state.area_m2, 1),
        "depth_cm": None
        if depth is None
        else {
            "min": _rounded(depth.min_cm, 1),
            "max": _rounded(depth.max_cm, 1),
            "source": depth.source,
        },
        "trend": trend.direction.value if trend else None,
        "rate_pp_per_min": _rounded(trend.pp_per_min, 2) if trend else None,
        "rate_cm_per_min": _rounded(trend.cm_per_min, 2) if trend else None,
        "rate_m2_per_min": _rounded(trend.m2_per_min, 2) if trend else None,
        "rate_window_s": round(trend.window_s) if trend else None,
        "next_level": _next_level(trend.next_level) if trend and trend.next_level else None,
    }


def _next_level(next_level: NextLevel) -> Json:
    slowest_s = next_level.eta_s_max
    return {
        "level": next_level.level.value,
        "eta_s_min": round(next_level.eta_s_min),
        "eta_s_max": None if slowest_s is None else round(slowest_s),
    }


def _model(model: ModelIdentity) -> Json:
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "backend": model.backend,
    }


def _certainty(state: WaterState) -> str | None:
    if state.confidence is None:
        return None
    is_sure = state.confidence >= OBSERVED_FROM or state.is_corroborated
    return "observed" if is_sure else "likely"


def _rounded(value: float | None, digits: int = 4) -> float | None:
    """Return ``value`` as precisely as it is known: a zone has thousands of pixels."""
    # Adding zero turns -0.0, which some readers of JSON stumble over, into 0.0.
    return None if value is None else round(value, digits) + 0.0


def _encode(content: Json) -> bytes:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A stray surrogate in a third party's text must not keep the message from being sent.
    return text.encode(errors="replace")
