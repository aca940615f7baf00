"""What open pages are told of episodes, when the disk refuses and when evidence comes late."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.publish.event_archive import EpisodeRecord, EventArchive
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import EventKind, WaterLevel
from lsm_monitor.web import live as live_module
from tests.unit.publish.scenes import event_of, messages_of
from tests.web_daemon import WebDaemon

IDS = [UUID(f"019816a2-7c1e-7b60-9f0e-{number:012x}") for number in range(6)]


class Disk:
    """Refuses to tell of the episodes in ``refused``, and has none of those in ``lost``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: set[UUID] = set()
        self.lost: set[UUID] = set()
        self.asked: list[UUID] = []
        read = EventArchive.episodes

        def episodes(
            archive: EventArchive, event_ids: Collection[UUID]
        ) -> dict[UUID, EpisodeRecord]:
            self.asked += event_ids
            if not self.refused.isdisjoint(event_ids):
                msg = "the history of events cannot be read (database is locked)"
                raise StoreError(msg)
            nothing = {
                each: EpisodeRecord(each, (), frozenset(), None, ()) for each in self.lost
            }
            found = read(archive, event_ids)
            return {each: nothing.get(each, record) for each, record in found.items()}

        monkeypatch.setattr(EventArchive, "episodes", episodes)


class Told:
    """A daemon whose page looks only when the test says so, and one page that is told."""

    def __init__(self, daemon: WebDaemon) -> None:
        self.outbox: Outbox = daemon.outbox
        self.live = daemon.page.live
        self._daemon = daemon
        self._hub = daemon.page._hub

    def happen(self, event_id: UUID, kind: EventKind = EventKind.OPEN, seq: int = 1) -> None:
        level = WaterLevel.DRY if kind is EventKind.CLOSE else WaterLevel.FLOODED
        event = event_of(kind, seq=seq, level=level, event_id=event_id)
        self.outbox.record(event, messages_of(event), now=self._daemon.clock.now())

    def news(self) -> list[tuple[str, dict[str, Any]]]:
        """Look once, and return what a page is told of episodes."""

        async def look() -> bytes:
            with self._hub.client() as client:
                await self.live.refresh()
                return await client.next(0.0)

        told = []
        for each in asyncio.run(look()).decode().split("\n\n")[:-1]:
            name, data = each.removeprefix("event: ").split("\ndata: ")
            if name.startswith("episode"):
                told.append((name, json.loads(data)))
        return told

    def states(self) -> list[tuple[UUID, str]]:
        """Return ids and states of the episodes that are told when it looks once."""
        return [
            (UUID(data["event_id"]), data.get("status", name)) for name, data in self.news()
        ]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    daemon = WebDaemon(tmp_path)  # never entered: nothing runs but what the test does
    yield Told(daemon)
    daemon.outbox.close()


def test_a_flood_is_told_although_an_older_one_that_ended_cannot_be_read(
    told: Told, disk: Disk
) -> None:
    told.happen(IDS[0])
    assert told.states() == [(IDS[0], "open")]
    told.happen(IDS[0], EventKind.CLOSE, 2)
    told.happen(IDS[1])
    disk.refused = {IDS[0]}
    assert told.states() == [(IDS[1], "open")]


def test_an_end_that_could_not_be_read_is_told_once_the_disk_is_well(
    told: Told, disk: Disk
) -> None:
    told.happen(IDS[0])
    told.news()
    told.happen(IDS[0], EventKind.CLOSE, 2)
    disk.refused = {IDS[0]}
    assert [told.states() for _ in range(3)] == [[], [], []]
    disk.refused = set()
    assert told.states() == [(IDS[0], "closed")]
    assert told.states() == []


def test_one_end_that_cannot_be_read_does_not_keep_back_another(told: Told, disk: Disk) -> None:
    for event_id in IDS[:2]:
        told.happen(event_id)
    told.news()
    for event_id in IDS[:2]:
        told.happen(event_id, EventKind.CLOSE, 2)
    disk.refused = {IDS[0]}
    assert told.states() == [(IDS[1], "closed")]


def test_floods_that_are_open_are_told_before_those_that_ended(told: Told, disk: Disk) -> None:
    told.happen(IDS[0])
    told.news()
    told.happen(IDS[0], EventKind.CLOSE, 2)
    told.happen(IDS[1])
    assert told.states() == [(IDS[1], "open"), (IDS[0], "closed")]
    assert disk.asked[-1] == IDS[0]


def test_a_disk_that_refuses_is_asked_a_few_times_a_look_and_about_others_each_time(
    told: Told, disk: Disk
) -> None:
    for event_id in IDS:
        told.happen(event_id)
    told.news()
    for event_id in IDS:
        told.happen(event_id, EventKind.CLOSE, 2)
    most = live_module._MOST_REFUSED
    disk.refused, disk.asked = set(IDS), []
    assert told.states() == []
    assert disk.asked == IDS[:most]
    disk.refused = set(IDS[:most])
    assert told.states() == [(event_id, "closed") for event_id in IDS[most:]]


def test_a_refusing_disk_is_in_the_log_once_and_again_when_it_is_well(
    told: Told, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    told.happen(IDS[0])
    told.news()
    told.happen(IDS[0], EventKind.CLOSE, 2)
    disk.refused = {IDS[0]}
    for _ in range(3):
        told.news()
    disk.refused = set()
    told.news()
    messages = [each.message for each in caplog.records if each.name == live_module.__name__]
    assert len(messages) == 2
    assert "cannot be read (database is locked)" in messages[0]
    assert messages[1] == "the page is told about every episode again"


def test_an_episode_that_ended_and_is_not_in_the_history_leaves_every_page(
    told: Told, disk: Disk
) -> None:
    told.happen(IDS[0])
    told.news()
    told.happen(IDS[0], EventKind.CLOSE, 2)
    disk.lost = {IDS[0]}
    assert told.news() == [("episode_gone", {"event_id": str(IDS[0])})]
    assert told.news() == []


def test_a_flood_that_is_open_stays_although_nothing_can_be_said_of_it(
    told: Told, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.lost = {IDS[0]}
    monkeypatch.setattr(Outbox, "newest", lambda *_: None)
    told.happen(IDS[0])
    assert told.news() == []


def test_evidence_that_comes_after_its_event_reaches_open_pages(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon, contextlib.closing(daemon.connection()) as connection:
        connection.request("GET", "/api/stream")
        response = connection.getresponse()
        told = (json.loads(line[6:]) for line in response if line.startswith(b"data: "))
        news = (data for data in told if "event_id" in data)
        Told(daemon).happen(IDS[0])
        daemon.page.live.wake()
        assert next(news)["evidence"] == []
        daemon.evidence.put(IDS[0], 1, {EvidenceKind.SNAPSHOT: b"a picture"}, {"missing": []})
        daemon.page.live.on_stored(IDS[0])  # as the desk's thread does
        assert [each["kind"] for each in next(news)["evidence"]] == ["snapshot", "sidecar"]
        Told(daemon).happen(IDS[0], EventKind.CLOSE, 2)
        daemon.page.live.wake()
        assert next(news)["status"] == "closed"
        daemon.evidence.add(IDS[0], 1, EvidenceKind.CLIP, b"a clip", {})
        daemon.page.live.on_stored(IDS[0])
        assert "clip" in [each["kind"] for each in next(news)["evidence"]]
        response.close()


def test_evidence_may_come_before_the_page_runs_and_after_it_ran(
    told: Told, tmp_path: Path
) -> None:
    told.live.on_stored(IDS[0])
    folder = tmp_path / "another"
    folder.mkdir()
    with WebDaemon(folder) as daemon:
        daemon.page.live.on_stored(IDS[0])
    daemon.page.live.on_stored(IDS[0])
    daemon.page.live.wake()
