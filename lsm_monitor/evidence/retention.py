"""Which evidence goes when it is old, or when there is too much of it.

Whole episodes go, closed ones first and the oldest of them first: half of an episode proves
little. What is still being written is never touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

Reason = Literal["age", "size"]


@dataclass(frozen=True, slots=True)
class KeptEpisode:
    """The evidence of one episode.

    Attributes:
        event_id: The episode's.
        size_bytes: What its files take.
        newest_at: When the newest of them was written, timezone-aware UTC.
    """

    event_id: UUID
    size_bytes: int
    newest_at: datetime


def to_remove(
    kept: Iterable[KeptEpisode],
    *,
    now: datetime,
    max_age: timedelta,
    max_bytes: int,
    open_ids: Collection[UUID],
    busy_ids: Collection[UUID],
) -> list[tuple[UUID, Reason]]:
    """Return what is to be removed, in this order, and why.

    Args:
        kept: All evidence there is.
        now: Timezone-aware UTC.
        max_age: Closed episodes that are older go.
        max_bytes: As many go as are needed to get below it.
        open_ids: Open episodes: they go last, and never for their age.
        busy_ids: Episodes of which something is being written: they do not go.
    """
    kept = list(kept)
    excess_bytes = sum(episode.size_bytes for episode in kept) - max_bytes
    removed: list[tuple[UUID, Reason]] = []
    for episode in sorted(kept, key=lambda e: (e.event_id in open_ids, e.newest_at)):
        if episode.event_id in busy_ids:
            continue
        is_old = episode.event_id not in open_ids and now - episode.newest_at > max_age
        if is_old or excess_bytes > 0:
            removed.append((episode.event_id, "age" if is_old else "size"))
            excess_bytes -= episode.size_bytes
    return removed
