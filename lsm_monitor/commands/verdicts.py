"""Floods that operators have confirmed, as labels of recorded videos.

A confirmed flood begins where its alarm began: nobody has said when the water came. So it
helps to tell hits from misses, and makes the time to alarm look shorter than it is. Verdicts
against an alarm add nothing: what is not labelled counts as no flood anyhow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lsm_monitor.commands.labels import VideoLabels
from lsm_monitor.errors import ConfigError
from lsm_monitor.publish import store_desk
from lsm_monitor.types import Verdict, WaterLevel
from lsm_monitor.water.scoring import Span, merged


@dataclass(slots=True)
class _Confirmed:
    """One episode, as far as it was told."""

    opened_at: datetime
    newest_at: datetime
    level: WaterLevel


def floods_of(
    labels: VideoLabels, *, length_s: float, level: WaterLevel, outbox: Path | None
) -> tuple[Span, ...]:
    """Return the floods of one video that shall alarm, in order.

    Args:
        labels: What people wrote down; where it overlaps with a verdict, it counts.
        length_s: Video time of the last picture.
        level: The least level that shall alarm.
        outbox: The daemon's, with verdicts; ``None`` without.

    Raises:
        ConfigError: A flood begins after the end of the video.
        StoreError: The outbox cannot be read.
    """
    floods = sorted(labels.spans(level))
    for flood in floods:
        if flood.from_s > length_s:
            msg = (
                f"{labels.video}: a flood is labelled at {flood.from_s:g} s, but what can be "
                f"read of the video ends at {length_s:g} s"
            )
            raise ConfigError(msg)
    if outbox is None or labels.began_at is None or labels.camera is None:
        return tuple(floods)
    everything = labels.spans(WaterLevel.WET)  # a label of less than `level` says: no alarm
    began_at = labels.began_at
    confirmed = merged(
        Span(max(0.0, from_s), min(to_s, length_s))
        for each in _confirmed(outbox, labels.camera, level)
        if (from_s := (each.opened_at - began_at).total_seconds()) < length_s
        and (to_s := (each.newest_at - began_at).total_seconds()) > 0.0
    )
    new = (span for span in confirmed if not _overlaps(span, everything))
    return tuple(sorted([*floods, *new]))


def _confirmed(outbox: Path, camera: str, level: WaterLevel) -> list[_Confirmed]:
    verdicts = {each.event_id: each.verdict for each in store_desk.feedback(outbox)}
    order = list(WaterLevel)
    episodes: dict[str, _Confirmed] = {}
    for payload in store_desk.events(outbox, camera=camera):
        event = json.loads(payload)
        if verdicts.get(event["event_id"]) != Verdict.TRUE_POSITIVE:
            continue
        observed_at = datetime.fromisoformat(event["observed_at"])
        known = episodes.setdefault(
            event["event_id"],
            _Confirmed(
                datetime.fromisoformat(event["opened_at"]), observed_at, WaterLevel.UNKNOWN
            ),
        )
        known.newest_at = observed_at
        known.level = max(known.level, WaterLevel(event["level"]), key=order.index)
    least = order.index(level)
    return [each for each in episodes.values() if order.index(each.level) >= least]


def _overlaps(span: Span, others: Iterable[Span]) -> bool:
    return any(span.from_s < other.to_s and other.from_s < span.to_s for other in others)
