"""Episodes over a real port: open ones, those of the past, and what people say about them."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.publish.event_archive import EpisodeRecord, EventArchive
from lsm_monitor.types import EventKind, WaterLevel
from tests.unit.publish.scenes import event_of, messages_of
from tests.web_daemon import WebDaemon

IDS = [UUID(f"019816a2-7c1e-7b60-9f0e-{number:012x}") for number in range(4)]


def tell(
    daemon: WebDaemon, event_id: UUID, kind: EventKind = EventKind.OPEN, seq: int = 1
) -> None:
    level = WaterLevel.DRY if kind is EventKind.CLOSE else WaterLevel.FLOODED
    event = event_of(kind, seq=seq, level=level, event_id=event_id)
    daemon.outbox.record(event, messages_of(event), now=daemon.clock.now())


def ids_of(daemon: WebDaemon, query: str) -> list[UUID]:
    episodes = daemon.get(f"/api/episodes?{query}").json["episodes"]
    return [UUID(episode["event_id"]) for episode in episodes]


def test_episodes_are_listed_newest_first_by_state(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon:
        for event_id in IDS:
            tell(daemon, event_id)
        for event_id in (IDS[0], IDS[2]):
            tell(daemon, event_id, EventKind.CLOSE, 2)
        assert ids_of(daemon, "") == [IDS[3], IDS[1]]
        assert ids_of(daemon, "state=closed") == [IDS[2], IDS[0]]
        assert ids_of(daemon, "state=all") == [IDS[3], IDS[2], IDS[1], IDS[0]]
        assert ids_of(daemon, "state=all&camera=elsewhere") == []
        page = daemon.get("/api/episodes?state=all&limit=3").json
        assert page["next"] == str(IDS[1])
        assert ids_of(daemon, f"state=all&before={page['next']}") == [IDS[0]]
        closed = daemon.get("/api/episodes?state=closed&limit=1").json["episodes"][0]
        assert (closed["status"], closed["level"], closed["worst_level"]) == (
            "closed",
            "dry",
            "flooded",
        )


def test_an_episode_has_its_events_as_they_were_published(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon:
        tell(daemon, IDS[0])
        tell(daemon, IDS[0], EventKind.UPDATE, 2)
        detail = daemon.get(f"/api/episodes/{IDS[0]}").json
        assert [event["event_type"] for event in detail["events"]] == ["open", "update"]
        assert detail["events"][0]["schema"] == "lsm.event/1"
        assert (detail["seq"], detail["peak_fraction"]) == (2, 0.33)


def test_what_operators_say_is_stored_and_told(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon:
        tell(daemon, IDS[0])
        csrf = {"X-CSRF-Token": daemon.get("/api/session").json["csrf"]}
        path = f"/api/episodes/{IDS[0]}"
        assert daemon.ask("POST", f"{path}/acknowledge", headers=csrf).status == 200
        body = {"verdict": "wet_only", "note": "nur nass"}
        told = daemon.ask("POST", f"{path}/feedback", body=body, headers=csrf).json
        assert told["acknowledged"]["by"] == ""
        assert [(each["verdict"], each["note"]) for each in told["feedback"]] == [
            ("wet_only", "nur nass")
        ]
        bad = [{"verdict": "nonsense"}, {"verdict": "other", "note": "\x00"}, {"note": "x"}]
        bad += [{"verdict": "other", "note": "x" * 1001}, {"verdict": "other", "by": "ann"}]
        answers = [
            daemon.ask("POST", f"{path}/feedback", body=each, headers=csrf) for each in bad
        ]
        assert [answer.status for answer in answers] == [422] * len(bad)
        unknown = f"/api/episodes/{IDS[1]}/feedback"
        assert daemon.ask("POST", unknown, body=body, headers=csrf).status == 404


def test_open_pages_are_told_of_an_episode_and_of_what_is_said_about_it(
    tmp_path: Path,
) -> None:
    with WebDaemon(tmp_path) as daemon:
        connection = daemon.connection()
        connection.request("GET", "/api/stream")
        response = connection.getresponse()
        told = (json.loads(line[6:]) for line in response if line.startswith(b"data: "))
        assert "version" in next(told)
        tell(daemon, IDS[0])
        daemon.see(WaterLevel.FLOODED, 0.3)
        news = (data for data in told if "event_id" in data)
        assert next(news)["acknowledged"] is None
        csrf = {"X-CSRF-Token": daemon.get("/api/session").json["csrf"]}
        daemon.ask("POST", f"/api/episodes/{IDS[0]}/acknowledge", headers=csrf)
        assert next(news)["acknowledged"]["at"]
        tell(daemon, IDS[0], EventKind.CLOSE, 2)
        daemon.see(WaterLevel.DRY, 0.0)
        assert next(news)["status"] == "closed"
        response.close()
        connection.close()


@pytest.mark.parametrize("state", ["open", "all"])
def test_an_alert_is_shown_although_the_history_cannot_be_read(
    tmp_path: Path, state: str
) -> None:
    with WebDaemon(tmp_path) as daemon:
        tell(daemon, IDS[0])
        (tmp_path / "outbox.sqlite3").rename(tmp_path / "away")
        answer = daemon.get(f"/api/episodes?state={state}")
        if state == "open":
            assert answer.json["episodes"][0]["event_id"] == str(IDS[0])
        else:
            assert (answer.status, "history" in answer.json["detail"]) == (503, True)


def test_readers_whom_the_disk_lets_wait_do_not_hold_up_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, asked = threading.Event(), threading.Semaphore(0)

    def wait(*_: object, **__: object) -> list[EpisodeRecord]:
        asked.release()
        assert disk.wait(30.0)
        return []

    monkeypatch.setattr(EventArchive, "newest_first", wait)
    with WebDaemon(tmp_path) as daemon, ThreadPoolExecutor(20) as readers:
        waiting = [readers.submit(daemon.get, "/api/episodes?state=all") for _ in range(20)]
        assert asked.acquire(timeout=30.0)
        assert daemon.loop is not None
        # The publisher takes its messages from the outbox in such a thread.
        taken = asyncio.run_coroutine_threadsafe(
            asyncio.to_thread(daemon.outbox.pending, 1), daemon.loop
        )
        assert taken.result(10.0) == []
        assert daemon.get("/healthz").status == 200
        disk.set()
        assert {answer.result().status for answer in waiting} == {200}


def test_evidence_is_handed_out_in_pieces_too(tmp_path: Path) -> None:
    with WebDaemon(tmp_path) as daemon:
        tell(daemon, IDS[0])
        daemon.evidence.put(IDS[0], 1, {EvidenceKind.CLIP: b"0123456789"}, {})
        files = daemon.get("/api/episodes").json["episodes"][0]["evidence"]
        (clip,) = (file for file in files if file["kind"] == "clip")
        assert (clip["seq"], clip["bytes"]) == (1, 10)
        answer = daemon.get(clip["url"], {"Range": "bytes=2-4"})
        assert (answer.status, answer.body) == (206, b"234")
        assert answer.headers["content-type"] == "video/mp4"
        assert "immutable" in answer.headers["cache-control"]
        (sidecar,) = (file for file in files if file["kind"] == "sidecar")
        assert daemon.get(sidecar["url"]).headers["cache-control"] == "no-cache"
        assert daemon.get(clip["url"].replace("1", "2")).status == 404
        assert daemon.get(f"/api/evidence/{IDS[1]}/{clip['name']}").status == 404
