from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.errors import StoreError
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import NewerStoreError
from lsm_monitor.publish.outbox_rows import StoreLimits
from lsm_monitor.publish.topics import Topics
from lsm_monitor.types import (
    CameraId,
    Episode,
    EventKind,
    OutboundMessage,
    WaterEvent,
    WaterLevel,
    ZoneId,
)
from tests.unit.publish.scenes import (
    ACTIVE_TOPIC,
    EVENT_ID,
    EVENT_TOPIC,
    HEALTHY,
    PROVENANCE,
    event_of,
    messages_of,
)

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)
OTHER_ID, OTHER_ZONE = UUID(int=2), ZoneId("lane-2")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox.open(path, now=NOW)
    yield outbox
    outbox.close()


def record(outbox: Outbox, *events: WaterEvent) -> None:
    for event in events:
        outbox.record(event, messages_of(event), now=NOW)


def story(length: int) -> list[WaterEvent]:
    """Return the first ``length`` events of an episode that stays open."""
    kinds = [EventKind.OPEN] + [EventKind.UPDATE] * (length - 1)
    return [event_of(kind, seq=seq) for seq, kind in enumerate(kinds, start=1)]


def test_messages_come_out_in_the_order_and_with_the_bytes_they_went_in(
    outbox: Outbox,
) -> None:
    record(outbox, *story(5))
    rows = outbox.pending(100)
    assert [row.message for row in rows] == [m for e in story(5) for m in messages_of(e)]
    assert [row.row_id for row in rows] == sorted(row.row_id for row in rows)


def test_pending_is_limited_and_goes_on_after_an_id(outbox: Outbox) -> None:
    record(outbox, *story(3))
    first = outbox.pending(4)
    assert len(first) == 4
    assert len(outbox.pending(4, after_id=first[-1].row_id)) == 2


def test_what_the_broker_has_is_gone_and_its_id_is_never_used_again(outbox: Outbox) -> None:
    record(outbox, *story(2))
    old_ids = [row.row_id for row in outbox.pending(100)]
    outbox.delete(old_ids)
    assert outbox.pending(100) == []
    record(outbox, event_of(seq=3))
    assert min(row.row_id for row in outbox.pending(100)) > max(old_ids)


def test_recording_an_event_again_changes_nothing(outbox: Outbox) -> None:
    record(outbox, event_of(seq=1))
    before = outbox.pending(100)
    record(outbox, event_of(seq=1))
    assert outbox.pending(100) == before
    assert [episode.seq for episode in outbox.episodes()] == [1]


def test_everything_is_there_after_reopening(outbox: Outbox, path: Path) -> None:
    record(outbox, *story(2))
    before = outbox.pending(100), outbox.episodes(), outbox.kept(), outbox.oldest_at()
    outbox.close()
    again = Outbox.open(path, now=NOW)
    assert (again.pending(100), again.episodes(), again.kept(), again.oldest_at()) == before
    again.close()


def test_a_closed_episode_is_no_longer_open(outbox: Outbox) -> None:
    record(outbox, *story(2), event_of(EventKind.CLOSE, seq=3, level=WaterLevel.DRY))
    assert outbox.episodes() == []
    assert outbox.count() == 6


def test_every_zone_has_its_own_episode(outbox: Outbox) -> None:
    record(outbox, event_of(seq=1), event_of(seq=1, event_id=OTHER_ID, zone_id=OTHER_ZONE))
    assert [episode.zone_id for episode in outbox.episodes()] == ["lane-1", "lane-2"]
    record(
        outbox,
        event_of(EventKind.CLOSE, seq=2, level=WaterLevel.DRY, event_id=OTHER_ID),
    )
    assert [episode.zone_id for episode in outbox.episodes()] == ["lane-1"]


@given(
    seq=st.integers(1, 10**6),
    level=st.sampled_from([WaterLevel.PONDING, WaterLevel.FLOODED, WaterLevel.SEVERE]),
    is_stale=st.booleans(),
    opened_at=st.datetimes(
        min_value=datetime(2020, 1, 1),  # noqa: DTZ001 - the zone is drawn separately
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - the zone is drawn separately
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]),
    ),
    peak_fraction=st.floats(0.0, 1.0),
    event_id=st.uuids(),
)
@settings(max_examples=20, deadline=None)  # each writes a file
def test_an_episode_comes_back_as_it_was(  # noqa: PLR0917 - the fields of an episode
    tmp_path_factory: pytest.TempPathFactory,
    seq: int,
    level: WaterLevel,
    is_stale: bool,  # noqa: FBT001 - drawn by Hypothesis
    opened_at: datetime,
    peak_fraction: float,
    event_id: UUID,
) -> None:
    outbox = Outbox.open(tmp_path_factory.mktemp("outbox") / "outbox.sqlite", now=NOW)
    episode = Episode(
        event_id,
        CameraId("bridge"),
        ZoneId("full"),
        seq,
        level,
        is_stale,
        opened_at,
        peak_fraction,
    )
    outbox.record(replace(event_of(seq=seq), episode=episode), (), now=NOW)
    assert outbox.episodes() == [episode]
    outbox.close()


def test_kept_copies_are_the_newest_of_open_episodes_and_none_that_is_still_on_its_way(
    outbox: Outbox,
) -> None:
    record(outbox, *story(2))
    assert outbox.kept() == []
    outbox.delete([row.row_id for row in outbox.pending(100)])
    _, copy = messages_of(story(2)[-1])
    assert outbox.kept() == [copy]
    record(outbox, event_of(EventKind.CLOSE, seq=3, level=WaterLevel.DRY))
    assert outbox.kept() == []
    outbox.delete([row.row_id for row in outbox.pending(100)])
    assert outbox.kept() == []


def test_an_open_episode_that_moves_to_other_topics_leaves_no_copy_on_the_old_ones(
    outbox: Outbox, path: Path
) -> None:
    renamed = Messages(Topics("lsm/v0", "hz-west"), PROVENANCE)
    record(outbox, *story(1))
    outbox.delete(row.row_id for row in outbox.pending(100))
    outbox.close()

    again = Outbox.open(path, now=NOW)
    update = renamed.event(story(2)[1], health=HEALTHY, sent_at=NOW)
    again.record(story(2)[1], update, now=NOW)
    removal = OutboundMessage(ACTIVE_TOPIC, b"", qos=1, retain=True)
    assert [row.message for row in again.pending(100)] == [*update, removal]
    again.delete(row.row_id for row in again.pending(100))
    again.close()

    last = Outbox.open(path, now=NOW)
    assert last.kept() == [update[1]]
    assert last.newest(EVENT_ID) == update[0].payload
    last.close()


def test_the_age_of_the_oldest_message_is_known(outbox: Outbox) -> None:
    assert outbox.oldest_at() is None
    for minute in range(3):
        event = event_of(seq=minute + 1)
        outbox.record(event, messages_of(event), now=NOW + timedelta(minutes=minute))
    outbox.delete([row.row_id for row in outbox.pending(2)])
    assert outbox.oldest_at() == NOW + timedelta(minutes=1)


def test_space_of_deleted_messages_is_given_back(path: Path) -> None:
    outbox = Outbox.open(path, now=NOW, limits=StoreLimits(history_events=5))
    for seq in range(1, 301):
        outbox.record(
            event_of(seq=seq),
            [OutboundMessage(EVENT_TOPIC, bytes(4000), qos=1, retain=False)],
            now=NOW,
        )
    outbox.delete([row.row_id for row in outbox.pending(1000)])
    outbox.settle(NOW + timedelta(minutes=1))
    outbox.close()
    assert sum(part.stat().st_size for part in path.parent.iterdir()) < 100_000


def test_threads_may_record_and_send_at_the_same_time(outbox: Outbox) -> None:
    sent: list[bytes] = []
    all_recorded = threading.Event()

    def send() -> None:
        while not all_recorded.is_set() or outbox.count():
            rows = outbox.pending(5)
            sent.extend(row.message.payload for row in rows if row.message.topic == EVENT_TOPIC)
            outbox.delete([row.row_id for row in rows])

    sender = threading.Thread(target=send)
    sender.start()
    record(outbox, *story(60))
    all_recorded.set()
    sender.join(timeout=10)
    assert sent == [messages_of(event)[0].payload for event in story(60)]


@pytest.mark.parametrize(
    "content", [b"this is no database at all" * 40, b"SQLite format 3\0" + bytes(4000)]
)
def test_a_damaged_file_is_set_aside_and_reported_and_never_deleted(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    outbox = Outbox.open(path, now=NOW)
    assert outbox.count() == 0
    record(outbox, event_of(seq=1))
    outbox.close()
    aside = path.with_name("outbox.sqlite.corrupt-20260718T060000Z")
    assert aside.read_bytes() == content
    (report,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert aside.name in report.getMessage()


def test_a_file_that_was_damaged_in_its_middle_is_set_aside(outbox: Outbox, path: Path) -> None:
    record(outbox, *story(40))
    outbox.close()
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xff" * 12288
    path.write_bytes(content)
    again = Outbox.open(path, now=NOW)
    assert again.count() == 0
    again.close()
    assert path.with_name("outbox.sqlite.corrupt-20260718T060000Z").read_bytes() == content


def test_the_file_of_a_later_version_is_not_touched(outbox: Outbox, path: Path) -> None:
    outbox.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerStoreError, match="its format is 99"):
        Outbox.open(path, now=NOW)
    assert path.read_bytes() == before


def test_a_closed_outbox_is_an_error(outbox: Outbox) -> None:
    outbox.close()
    with pytest.raises(StoreError):
        outbox.count()
