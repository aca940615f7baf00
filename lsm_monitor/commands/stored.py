"""``lsm-monitor outbox`` and ``events``: what is stored, as lines, JSON, CSV or CAP."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lsm_monitor.config.delivery import CapConfig
from lsm_monitor.errors import StoreError
from lsm_monitor.publish.cap import cap_alert
from lsm_monitor.publish.store_desk import StoredFeedback, StoredMessage

EventJson = Mapping[str, Any]  # parsed JSON of our own; event.schema.json says what is where
# Objects that may be null; a table has their columns all the same.
_MAY_BE_NULL: Mapping[str, Sequence[str]] = {
    "water.depth_cm": ("min", "max", "source"),
    "water.next_level": ("level", "eta_s_min", "eta_s_max"),
}


def message_line(message: StoredMessage) -> str:
    """Return one line for a person."""
    why = f"  {message.reason} ({message.dead_at})" if message.reason else ""
    return (
        f"{message.id}  {message.recorded_at}  {message.event_id} #{message.seq}  "
        f"{message.topic}  {message.size_bytes} B{why}"
    )


def event_line(payload: bytes) -> str:
    """Return one line for a person."""
    event = json.loads(payload)
    fraction = event["water"]["fraction"]
    share = "-" if fraction is None else f"{fraction:.1%}"
    return (
        f"{event['observed_at']}  {event['camera']}/{event['zone']}  "
        f"{event['event_type'].upper():6}  {event['previous_level']} -> {event['level']}  "
        f"{share}  {event['event_id']} #{event['seq']}"
    )


def feedback_line(feedback: StoredFeedback) -> str:
    """Return one line for a person."""
    by = f" by {feedback.by}" if feedback.by else ""
    note = f": {feedback.note}" if feedback.note else ""
    return f"{feedback.at}  {feedback.event_id}  {feedback.verdict}{by}{note}"


def as_csv(payloads: Iterable[bytes]) -> Iterator[str]:
    """Yield a header and one line per event; nested keys are joined by a dot."""
    header: list[str] = []
    for payload in payloads:
        values = dict(_flat(json.loads(payload)))
        if not header:
            header = list(values)
            yield _csv_line(header)
        yield _csv_line([values.get(name) for name in header])


def write_cap(payloads: Iterable[bytes], config: CapConfig, folder: Path) -> int:
    """Write ``<event_id>.<seq>.xml`` for each event, as it was published; return how many.

    Raises:
        StoreError: A file cannot be written.
    """
    newest: dict[str, EventJson] = {}
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for payload in payloads:
            event = json.loads(payload)
            event_id = event["event_id"]
            alert = cap_alert(event, newest.get(event_id), config)
            (folder / f"{event_id}.{event['seq']}.xml").write_bytes(alert)
            newest[event_id] = event
            if event["status"] == "closed":
                del newest[event_id]
            count += 1
    except OSError as exc:
        msg = f"{folder}: {exc.strerror}; choose another --out"
        raise StoreError(msg) from None
    return count


def _flat(content: EventJson, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        parts = _MAY_BE_NULL.get(prefix + key)
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif parts is not None:
            yield from ((f"{prefix}{key}.{part}", None) for part in parts)
        else:
            yield prefix + key, " ".join(map(str, value)) if isinstance(value, list) else value


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
