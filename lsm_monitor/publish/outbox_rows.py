"""What the outbox holds, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from lsm_monitor.types import EventKind, OutboundMessage, ReasonCode, WaterEvent

# Whatever is added to the reasons later makes an alert until it is listed here.
_CALM = frozenset({ReasonCode.LEVEL_DOWN, ReasonCode.PERSISTENT})


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much the file may hold.

    Attributes:
        max_bytes: Beyond it history goes first, then the oldest samples; never an alert.
        event_expiry_s: Age at which the messages of a *closed* episode become dead letters;
            ``None``: never.
        history_days: Age at which history, verdicts and dead letters are forgotten.
        history_events: Most events in the history.
    """

    max_bytes: int = 512 * 1024 * 1024
    event_expiry_s: float | None = None
    history_days: float = 400.0
    history_events: int = 100_000


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message that the broker has not acknowledged; ``row_id`` grows with time."""

    row_id: int
    message: OutboundMessage
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """What belongs together: an event and its messages, the first of them the event itself."""

    event: WaterEvent
    rows: tuple[OutboxRow, ...]
    recorded_at: datetime

    @property
    def is_sample(self) -> bool:
        """Whether it may be dropped when there is no room: an update that is no escalation.

        Who misses it learns the same from the next event of the episode. Everything that
        opens, rises, closes, goes blind or sees again is an alert.
        """
        return self.event.kind is EventKind.UPDATE and _CALM.issuperset(self.event.reasons)
