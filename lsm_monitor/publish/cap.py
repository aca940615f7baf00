"""An event as a CAP 1.2 alert, for the warning systems of authorities.

A function of the event's JSON and of the one before it in the episode: what is exported from
the history is, byte for byte, what was published. Each alert refers to the one before it:
the first of an episode is an Alert, then come Updates, and the close is a Cancel. Times have
a numeric offset, and UTC is ``-00:00``: CAP allows no ``Z``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from lxml import etree

from lsm_monitor.config.delivery import CapAreaConfig, CapConfig

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
EventJson = Mapping[str, Any]  # parsed JSON of our own; event.schema.json says what is where

_URGENCY = {"open": "Immediate", "stale": "Unknown", "closed": "Past"}
_RESPONSE = {"open": "Avoid", "stale": "Monitor", "closed": "AllClear"}
# Extreme is left to people. Minor is, by CAP's words, minimal to no known threat.
_SEVERITY = ("Minor", "Minor", "Moderate", "Severe")
_CERTAINTY = {"observed": "Observed", "likely": "Likely", None: "Unknown"}


def cap_alert(event: EventJson, previous: EventJson | None, config: CapConfig) -> bytes:
    """Return the alert as XML, UTF-8.

    Args:
        event: An event as published.
        previous: The event before it in the same episode; ``None`` for the first.
        config: Sender, status, areas.
    """
    alert = etree.Element(f"{{{NAMESPACE}}}alert", nsmap={None: NAMESPACE})
    for tag, text in _head(event, previous, config):
        _put(alert, tag, text)
    info = _put(alert, "info")
    for tag, text in _info(event, config):
        _put(info, tag, text)
    for name, value in _parameters(event):
        parameter = _put(info, "parameter")
        _put(parameter, "valueName", name)
        _put(parameter, "value", value)
    area = _put(info, "area")
    for tag, text in _area(event["camera"], config.areas.get(event["camera"])):
        _put(area, tag, text)
    return etree.tostring(alert, xml_declaration=True, encoding="UTF-8")


def _put(parent: etree._Element, tag: str, text: str | None = None) -> etree._Element:
    child = etree.SubElement(parent, f"{{{NAMESPACE}}}{tag}")
    child.text = text
    return child


def _head(
    event: EventJson, previous: EventJson | None, config: CapConfig
) -> Iterator[tuple[str, str]]:
    is_closed = event["status"] == "closed"
    yield "identifier", _identifier(event)
    yield "sender", config.sender
    yield "sent", _time(event["sent_at"])
    yield "status", config.status
    yield "msgType", "Alert" if previous is None else "Cancel" if is_closed else "Update"
    model = event["model"]
    yield (
        "source",
        f"lsm_monitor {event['software']}, model {model['name']} {model['version']}",
    )
    yield "scope", "Restricted"
    yield "restriction", config.restriction
    if previous is not None:
        sent = _time(previous["sent_at"])
        yield "references", f"{config.sender},{_identifier(previous)},{sent}"
    yield "incidents", event["event_id"]


def _info(event: EventJson, config: CapConfig) -> Iterator[tuple[str, str]]:
    area = config.areas.get(event["camera"])
    status = event["status"]
    expires = datetime.fromisoformat(event["sent_at"]) + timedelta(seconds=config.expires_s)
    unseen = status == "closed" and event["level"] == "unknown"
    yield "language", config.language
    yield "category", "Met"
    yield "category", "Transport"
    yield "event", config.event
    yield "responseType", "None" if unseen else _RESPONSE[status]
    yield "urgency", _URGENCY[status]
    yield "severity", "Unknown" if unseen else _SEVERITY[event["severity"]]
    yield "certainty", _CERTAINTY[event["certainty"]]
    yield "effective", _time(event["sent_at"])
    yield "onset", _time(event["opened_at"])
    yield "expires", _time(expires.isoformat())
    yield "headline", f"{config.event}: {area.description if area else event['camera']}"


def _parameters(event: EventJson) -> Iterator[tuple[str, str]]:
    yield "event_type", event["event_type"]
    yield "zone", event["zone"]
    yield "level", event["level"]
    yield "previous_level", event["previous_level"]
    for key, value in event["water"].items():
        name = f"water_{key}" if key.startswith("fraction") else key
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, number in parts:
            if number is not None:
                yield f"{name}_{part}".rstrip("_"), str(number)


def _area(camera: str, area: CapAreaConfig | None) -> Iterator[tuple[str, str]]:
    yield "areaDesc", area.description if area else camera
    if area and area.polygon:
        corners = area.polygon
        closed = corners if corners[0] == corners[-1] else (*corners, corners[0])
        yield "polygon", " ".join(f"{lat:.6f},{lon:.6f}" for lat, lon in closed)
    if area and area.circle:
        lat, lon, radius_km = area.circle
        yield "circle", f"{lat:.6f},{lon:.6f} {radius_km:.3f}"


def _identifier(event: EventJson) -> str:
    return f"{event['event_id']}.{event['seq']}"


def _time(rfc3339: str) -> str:
    return f"{datetime.fromisoformat(rfc3339):%Y-%m-%dT%H:%M:%S}-00:00"
