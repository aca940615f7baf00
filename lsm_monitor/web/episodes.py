"""Episodes as the page shows them: the open ones from memory, the others from the history.

An alert is shown even when the disk refuses: the outbox knows the open episodes and their
newest event by heart. Every method may wait for the disk: never call one on the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, Protocol
from uuid import UUID

from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.sidecar import EvidenceFile
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.publish.event_archive import EpisodeRecord, EventArchive
from lsm_monitor.publish.payloads import worst_level
from lsm_monitor.types import Acknowledgement, Feedback, WaterLevel
from lsm_monitor.types import Episode as OpenEpisode
from lsm_monitor.web.models import (
    AcknowledgementAnswer,
    Episode,
    EpisodeDetail,
    EpisodeList,
    EvidenceFileAnswer,
    FeedbackAnswer,
)

State = Literal["open", "closed", "all"]


class OpenEpisodesSource(Protocol):
    """What is needed of the outbox."""

    def episodes(self) -> list[OpenEpisode]:
        """Return the open episodes."""
        ...

    def newest(self, event_id: UUID) -> bytes | None:
        """Return the newest event of an open episode as it was sent."""
        ...


class Episodes:
    """Answers questions about episodes. Thread-safe.

    Args:
        outbox: Knows the open ones.
        archive: Has all that are kept.
        evidence: Has the files about them.
    """

    def __init__(
        self, *, outbox: OpenEpisodesSource, archive: EventArchive, evidence: EvidenceStore
    ) -> None:
        self._outbox = outbox
        self._archive = archive
        self._evidence = evidence

    def open_ones(self) -> list[OpenEpisode]:
        """Return the open episodes as the judges have them, newest first."""
        return sorted(self._outbox.episodes(), key=lambda e: str(e.event_id), reverse=True)

    def page(
        self, state: State, *, camera: str | None, limit: int, before: UUID | None
    ) -> EpisodeList:
        """Return up to ``limit`` episodes, newest first, that opened before ``before``.

        Raises:
            StoreError: The history cannot be read; the open ones can be had all the same.
        """
        # One more than is told: to know whether there are more.
        open_ids = [
            episode.event_id
            for episode in self.open_ones()
            if camera in {None, episode.camera_id}
            and (before is None or str(episode.event_id) < str(before))
        ]
        found = [] if state == "closed" else self._open(open_ids[: limit + 1])
        if state != "open":
            every_open = [episode.event_id for episode in self._outbox.episodes()]
            closed = self._archive.newest_first(
                limit=limit + 1, before=before, camera=camera, without=every_open
            )
            found += [self._episode(record) for record in closed]
        found.sort(key=lambda episode: episode.event_id, reverse=True)
        more = found[limit - 1].event_id if len(found) > limit else None
        return EpisodeList(episodes=found[:limit], next=more)

    def one(self, event_id: UUID) -> Episode | None:
        """Return an episode; ``None``: there is none, or no longer."""
        found = self._open([event_id])
        if found:
            return found[0]
        record = self._archive.episodes([event_id])[event_id]
        return self._episode(record) if record.payloads else None

    def detail(self, event_id: UUID) -> EpisodeDetail | None:
        """Return an episode with its events; ``None``: there is none, or no longer."""
        newest = self._outbox.newest(event_id)
        record = self._known(self._archive.episode(event_id), newest)
        if not record.payloads:
            return None
        return EpisodeDetail(
            **dict(self._episode(record)),
            events=[json.loads(payload) for payload in record.payloads],
        )

    def _open(self, event_ids: Sequence[UUID]) -> list[Episode]:
        """Return those of ``event_ids`` that are open, with what the file has about them."""
        newest = {event_id: self._outbox.newest(event_id) for event_id in event_ids}
        known = [event_id for event_id, payload in newest.items() if payload is not None]
        try:
            records = self._archive.episodes(known)
        except StoreError:  # the alert is shown all the same
            records = {each: EpisodeRecord(each, (), frozenset(), None, ()) for each in known}
        return [self._episode(self._known(records[each], newest[each])) for each in known]

    def _known(self, record: EpisodeRecord, newest: bytes | None) -> EpisodeRecord:
        """Return ``record`` with the newest event, which the file may not have."""
        if newest is None or newest in record.payloads[-1:]:
            return record
        level = WaterLevel(json.loads(newest)["level"])
        return EpisodeRecord(
            record.event_id,
            (*record.payloads, newest),
            record.levels | {level},
            record.acknowledged,
            record.feedback,
        )

    def _episode(self, record: EpisodeRecord) -> Episode:
        event: dict[str, Any] = json.loads(record.payloads[-1])
        return Episode(
            event_id=event["event_id"],
            camera=event["camera"],
            zone=event["zone"],
            status=event["status"],
            level=event["level"],
            severity=event["severity"],
            worst_level=worst_level(record.levels),
            peak_fraction=event["water"]["fraction_peak"],
            opened_at=event["opened_at"],
            closed_at=event["closed_at"],
            seq=event["seq"],
            acknowledged=_acknowledged(record.acknowledged),
            feedback=[_feedback(each) for each in record.feedback],
            evidence=[
                _evidence_file(record.event_id, file)
                for file in self._evidence.listing(record.event_id)
            ],
        )


def _acknowledged(seen: Acknowledgement | None) -> AcknowledgementAnswer | None:
    return None if seen is None else AcknowledgementAnswer(by=seen.by, at=seen.at)


def _evidence_file(event_id: UUID, file: EvidenceFile) -> EvidenceFileAnswer:
    return EvidenceFileAnswer(
        seq=file.seq,
        name=file.name,
        kind=file.kind,
        url=f"/api/evidence/{event_id}/{file.name}",
        bytes=file.size_bytes,
    )


def _feedback(feedback: Feedback) -> FeedbackAnswer:
    return FeedbackAnswer(
        verdict=feedback.verdict, note=feedback.note, by=feedback.by, at=feedback.at
    )
