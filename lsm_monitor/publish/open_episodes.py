"""What is open now, in memory: the same as in the file, and there when the file is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from lsm_monitor.types import Episode, EventKind, OutboundMessage, WaterEvent


@dataclass(frozen=True, slots=True)
class OpenEpisode:
    """An open episode, its newest event as it was sent, and what is retained, by topic."""

    episode: Episode
    newest: bytes | None
    retained: dict[str, OutboundMessage]


class OpenEpisodes:
    """All open episodes, by id; as many as there are flooded zones. Not thread-safe."""

    def __init__(self) -> None:
        self._open: dict[UUID, OpenEpisode] = {}
        self._risen: set[UUID] = set()

    def __iter__(self) -> Iterator[OpenEpisode]:
        return iter(self._open.values())

    def __contains__(self, event_id: UUID) -> bool:
        return event_id in self._open

    def newest(self, event_id: UUID) -> bytes | None:
        """Return the newest event of an open episode as it was sent; ``None`` without one."""
        known = self._open.get(event_id)
        return known.newest if known else None

    def retained(self) -> list[OutboundMessage]:
        """Return the newest retained messages of all of them."""
        return [message for known in self for message in known.retained.values()]

    def removals(
        self, event_id: UUID, messages: Sequence[OutboundMessage]
    ) -> list[OutboundMessage]:
        """Return what removes an episode's retained copies that ``messages`` do not replace.

        They lie on the topics of before: a restart has changed the prefix, or the site's name.
        """
        known = self._open.get(event_id)
        left = known.retained.keys() - {message.topic for message in messages} if known else ()
        return [OutboundMessage(topic, b"", qos=1, retain=True) for topic in sorted(left)]

    def take_in(self, event: WaterEvent, messages: Sequence[OutboundMessage]) -> None:
        """Let an event open, change or close its episode."""
        event_id = event.episode.event_id
        if event.kind is EventKind.CLOSE:
            self._open.pop(event_id, None)
            return
        known = self._open.get(event_id)
        retained = dict(known.retained) if known else {}
        retained |= {message.topic: message for message in messages if message.retain}
        retained = {topic: message for topic, message in retained.items() if message.payload}
        newest = messages[0].payload if messages else None
        self._open[event_id] = OpenEpisode(event.episode, newest, retained)

    def raise_peaks(self, episodes: Iterable[Episode]) -> None:
        """Take over the peaks of ``episodes`` where they are higher; no event told of them."""
        for episode in episodes:
            known = self._open.get(episode.event_id)
            if known and episode.peak_fraction > known.episode.peak_fraction:
                peak = replace(known.episode, peak_fraction=episode.peak_fraction)
                self._open[episode.event_id] = replace(known, episode=peak)
                self._risen.add(episode.event_id)

    def take_risen(self) -> list[Episode]:
        """Return the episodes whose peak was raised since the last time."""
        risen, self._risen = self._risen, set()
        return [known.episode for event_id, known in self._open.items() if event_id in risen]

    def adopt(self, episode: Episode, retained: Sequence[OutboundMessage]) -> None:
        """Take in an episode from the file; its retained copy is its newest event."""
        newest = retained[0].payload if retained else None
        by_topic = {message.topic: message for message in retained}
        self._open[episode.event_id] = OpenEpisode(episode, newest, by_topic)
