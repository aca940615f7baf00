"""MQTT messages of the daemon as lines for a terminal, as pure functions."""

from __future__ import annotations

import json
from typing import TypedDict, cast

from lsm_monitor.publish.words import Water, details_of


class _Event(TypedDict):
    camera: str
    zone: str
    event_type: str
    level: str
    previous_level: str
    seq: int
    observed_at: str
    water: Water


class _State(TypedDict):
    camera: str
    zone: str
    level: str
    sent_at: str
    water: Water


class _Health(TypedDict):
    camera: str
    state: str
    reason_codes: list[str]
    detail: str
    since: str


def line_of(topic: str, payload: bytes) -> str | None:
    """Return one readable line for a message of the daemon.

    Args:
        topic: Topic of the message.
        payload: Its content, as ``docs/mqtt.md`` says.

    Returns:
        The line, or ``None`` for messages that repeat what another one says: a camera's worst
        zone, the flat ``alert`` and ``availability``, the retained copy of an open event; and
        for the empty ones, which delete a retained message.

    Raises:
        ValueError: The payload is not JSON where it should be.
    """
    if not payload:
        return None
    match topic.split("/")[-3:]:
        case [*_, "status"]:
            return f"--------  daemon {payload.decode(errors='replace')}"
        case [_, _, "event"]:
            return event_line(cast("_Event", json.loads(payload)))  # our own contract
        case ["zone", _, "state"]:
            return state_line(cast("_State", json.loads(payload)))  # our own contract
        case ["camera", _, "health"]:
            return health_line(cast("_Health", json.loads(payload)))  # our own contract
    return None


def event_line(event: _Event) -> str:
    """Return ``05:55:02  bridge/road  UPDATE  ponding -> flooded  31.0 %  seq 2  15-25 cm``."""
    place = f"{event['camera']}/{event['zone']}"
    change = event["level"]
    if event["previous_level"] != event["level"]:
        change = f"{event['previous_level']} -> {event['level']}"
    kind = event["event_type"].upper()
    percent = _percent(event["water"]["fraction"])
    time = _time(event["observed_at"])
    line = f"{time}  {place}  {kind:6}  {change:20} {percent}  seq {event['seq']}"
    return f"{line}  {details_of(event['water'])}".rstrip()


def state_line(state: _State) -> str:
    """Return ``05:55:02  bridge/road  state   dry    0.2 %``."""
    place = f"{state['camera']}/{state['zone']}"
    percent = _percent(state["water"]["fraction"])
    line = f"{_time(state['sent_at'])}  {place}  state   {state['level']:20} {percent}"
    return f"{line}  {details_of(state['water'])}".rstrip()


def health_line(health: _Health) -> str:
    """Return ``05:55:02  bridge  health  offline (STALLED): no picture for 10 s``."""
    reasons = ", ".join(health["reason_codes"])
    codes = f" ({reasons})" if reasons else ""
    detail = f": {health['detail']}" if health["detail"] else ""
    what = f"{health['state']}{codes}{detail}"
    return f"{_time(health['since'])}  {health['camera']}  health  {what}"


def _time(moment: str) -> str:
    """Return the time of day of an RFC 3339 time in UTC."""
    return moment[11:19]


def _percent(fraction: float | None) -> str:
    return "     -" if fraction is None else f"{100 * fraction:5.1f} %"
