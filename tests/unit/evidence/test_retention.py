from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.evidence.retention import KeptEpisode, to_remove

NOW = datetime(2026, 7, 1, tzinfo=UTC)
MAX_AGE = timedelta(days=30)
ids = st.integers(1, 40).map(lambda number: UUID(int=number))
episodes = st.lists(
    st.builds(
        KeptEpisode,
        event_id=ids,
        size_bytes=st.integers(0, 100),
        newest_at=st.integers(0, 60).map(lambda days: NOW - timedelta(days=days)),
    ),
    unique_by=lambda episode: episode.event_id,
)


@given(kept=episodes, max_bytes=st.integers(0, 500), open_=st.sets(ids), busy=st.sets(ids))
def test_what_goes_is_what_must_go_and_in_the_right_order(
    kept: list[KeptEpisode], max_bytes: int, open_: set[UUID], busy: set[UUID]
) -> None:
    by_id = {episode.event_id: episode for episode in kept}
    removed = to_remove(
        kept, now=NOW, max_age=MAX_AGE, max_bytes=max_bytes, open_ids=open_, busy_ids=busy
    )
    gone = [by_id[event_id] for event_id, _ in removed]
    left = [episode for episode in kept if episode not in gone]
    # What is being written stays.
    assert not busy & {episode.event_id for episode in gone}
    # There is room, unless nothing may be removed any more.
    left_bytes = sum(episode.size_bytes for episode in left)
    assert left_bytes <= max_bytes or all(episode.event_id in busy for episode in left)
    # Nothing old is left, but for open episodes.
    spared = open_ | busy
    assert all(NOW - e.newest_at <= MAX_AGE for e in left if e.event_id not in spared)
    # Open ones go last, and only for the room; among equals the oldest goes first.
    keys = [(episode.event_id in open_, episode.newest_at) for episode in gone]
    assert keys == sorted(keys)
    assert all(reason == "size" for event_id, reason in removed if event_id in open_)
    # No more goes than must.
    for event_id, reason in removed[-1:]:
        assert reason == "age" or left_bytes + by_id[event_id].size_bytes > max_bytes
