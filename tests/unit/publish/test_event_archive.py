"""Episodes of the past, read beside the outbox that writes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.event_archive import EventArchive
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.types import EventKind, Feedback, Verdict, WaterLevel
from tests.unit.publish.scenes import UNDERPASS, event_of, messages_of

NOW = datetime(2026, 7, 18, 7, 0, tzinfo=UTC)
IDS = [UUID(f"019816a2-7c1e-7b60-9f0e-{number:012x}") for number in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox.open(path, now=NOW)
    for event_id in IDS:
        event = event_of(EventKind.OPEN, seq=1, event_id=event_id)
        outbox.record(event, messages_of(event), now=NOW)
    yield outbox
    outbox.close()


@pytest.mark.usefixtures("outbox")
def test_episodes_come_newest_first_page_by_page(path: Path) -> None:
    archive = EventArchive(path)
    first = archive.newest_first(limit=2, without=[IDS[3]])
    rest = archive.newest_first(limit=9, before=first[-1].event_id)
    assert [record.event_id for record in first + rest] == [IDS[i] for i in (4, 2, 1, 0)]
    assert len(archive.newest_first(limit=9, camera=UNDERPASS)) == len(IDS)
    assert archive.newest_first(limit=9, camera="elsewhere") == []


@pytest.mark.usefixtures("outbox")
def test_the_newest_page_reads_no_more_than_itself(path: Path) -> None:
    seen: list[str] = []
    connect = sqlite3.connect

    def traced(*args: object, **options: object) -> sqlite3.Connection:
        connection = connect(*args, **options)  # type: ignore[call-overload]  # passed on as they are
        connection.set_trace_callback(seen.append)
        assert isinstance(connection, sqlite3.Connection)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", traced)
        EventArchive(path).newest_first(limit=1)
    query = next(statement for statement in seen if "GROUP BY" in statement)
    with sqlite3.connect(path) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
    connection.close()
    assert not [step for step in plan if "TEMP B-TREE" in step or step.startswith("SCAN event")]


def test_everything_about_an_episode_is_found(outbox: Outbox, path: Path) -> None:
    close = event_of(EventKind.CLOSE, seq=2, level=WaterLevel.DRY, event_id=IDS[0])
    outbox.record(close, messages_of(close), now=NOW)
    later = NOW + timedelta(minutes=1)
    verdict = Feedback(IDS[0], Verdict.SHADOW, "Schatten", "ann", later)
    assert outbox.add_feedback(verdict)
    record = EventArchive(path).episode(IDS[0])
    assert len(record.payloads) == 2
    assert record.levels == {WaterLevel.FLOODED, WaterLevel.DRY}
    assert record.feedback == (verdict,)
    assert EventArchive(path).episode(UUID(int=9)).payloads == ()


def test_a_file_that_cannot_be_read_is_told(path: Path) -> None:
    with pytest.raises(StoreError, match="history of events"):
        EventArchive(path).newest_first(limit=1)
