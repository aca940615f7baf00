from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from lsm_monitor.types import (
    Episode,
    EventKind,
    ReasonCode,
    Trend,
    WaterEvent,
    WaterLevel,
    WaterState,
    WaterTrend,
    ZoneId,
)
from lsm_monitor.water.episodes import EpisodeTracker
from tests.unit.water.scenes import (
    BRIDGE,
    DRY,
    FLOODED,
    PONDING,
    SEVERE,
    START,
    UNKNOWN,
    WET,
    at,
    episode_at,
    numbered_ids,
)


def tracker_with(episode: Episode | None = None) -> EpisodeTracker:
    return EpisodeTracker(new_event_id=numbered_ids(), episode=episode)


def state_of(level: WaterLevel, fraction: float = 0.2) -> WaterState:
    known = None if level is UNKNOWN else fraction
    return WaterState(BRIDGE, ZoneId("full"), level, known, known and 0.9, START, START)


def tell(
    tracker: EpisodeTracker, *levels: WaterLevel, begin: WaterLevel = DRY
) -> list[WaterEvent]:
    """Walk through ``levels``, one per 10 s, and return the events."""
    events, previous = [], begin
    for i, level in enumerate(levels):
        event = tracker.advance(state_of(level), previous, at(10.0 * i), 10.0 * i)
        previous = level
        if event is not None:
            events.append(event)
    return events


def test_a_flood_is_told_from_open_to_close_under_one_id_without_gaps() -> None:
    events = tell(
        tracker_with(),
        DRY,
        WET,
        PONDING,
        PONDING,
        SEVERE,
        UNKNOWN,
        UNKNOWN,
        SEVERE,
        FLOODED,
        WET,
    )
    assert [(event.kind.value, event.episode.seq, event.state.level) for event in events] == [
        ("open", 1, PONDING),
        ("update", 2, SEVERE),
        ("stale", 3, UNKNOWN),
        ("resume", 4, SEVERE),
        ("update", 5, FLOODED),
        ("close", 6, WET),
    ]
    assert {event.episode.event_id for event in events} == {UUID(int=1)}
    assert {event.episode.opened_at for event in events} == {at(20.0)}
    assert [event.closed_at for event in events] == [None] * 5 + [at(90.0)]
    assert [event.previous_level for event in events] == [
        WET, PONDING, SEVERE, UNKNOWN, SEVERE, FLOODED,
    ]  # fmt: skip
    assert [event.episode.is_stale for event in events] == [
        False, False, True, False, False, False,
    ]  # fmt: skip


def test_a_stale_episode_keeps_the_level_it_had() -> None:
    *_, stale = tell(tracker_with(), WET, FLOODED, UNKNOWN)
    assert stale.kind is EventKind.STALE
    assert stale.episode.level is FLOODED


def test_the_next_flood_has_an_id_of_its_own() -> None:
    events = tell(tracker_with(), PONDING, DRY, PONDING, DRY)
    assert [event.episode.event_id.int for event in events] == [1, 1, 2, 2]
    assert [event.episode.seq for event in events] == [1, 2, 1, 2]


def test_without_an_episode_nothing_is_told() -> None:
    assert tell(tracker_with(), DRY, WET, UNKNOWN, DRY, UNKNOWN) == []


@pytest.mark.parametrize(
    ("levels", "reasons"),
    [
        ([PONDING], (ReasonCode.ABOVE_OPEN_THRESHOLD, ReasonCode.PERSISTENT)),
        ([PONDING, SEVERE], (ReasonCode.LEVEL_UP, ReasonCode.PERSISTENT)),
        ([SEVERE, FLOODED], (ReasonCode.LEVEL_DOWN, ReasonCode.PERSISTENT)),
        ([PONDING, DRY], (ReasonCode.BELOW_CLOSE_THRESHOLD, ReasonCode.PERSISTENT)),
        ([PONDING, UNKNOWN], (ReasonCode.NO_USABLE_FRAMES,)),
        ([PONDING, UNKNOWN, PONDING], (ReasonCode.FRAMES_RETURNED,)),
    ],
    ids=["open", "up", "down", "close", "stale", "resume"],
)
def test_every_event_says_why(
    levels: list[WaterLevel], reasons: tuple[ReasonCode, ...]
) -> None:
    assert tell(tracker_with(), *levels)[-1].reasons == reasons


def test_the_peak_is_the_highest_share_of_the_episode_and_not_of_the_event() -> None:
    tracker = tracker_with()
    for level, fraction in ((PONDING, 0.1), (PONDING, 0.24), (PONDING, 0.1)):
        tracker.advance(state_of(level, fraction), PONDING, at(0.0), 0.0)
    event = tracker.advance(state_of(DRY, 0.0), PONDING, at(1.0), 1.0)
    assert event is not None
    assert event.episode.peak_fraction == 0.24


def test_evidence_counts_the_frames_since_the_previous_event() -> None:
    tracker = tracker_with()
    for t_s, usable in ((1.0, True), (2.0, False), (3.0, True)):
        tracker.count_frame(at(t_s), usable=usable)
    opened = tracker.advance(state_of(PONDING), DRY, at(3.0), 3.0)
    tracker.count_frame(at(9.0), usable=True)
    closed = tracker.advance(state_of(DRY), PONDING, at(9.0), 9.0)
    assert opened is not None
    assert closed is not None
    window = opened.evidence
    assert (window.start, window.end) == (at(1.0), at(3.0))
    assert (window.frames, window.frames_usable) == (3, 2)
    window = closed.evidence
    assert (window.start, window.end) == (at(9.0), at(9.0))
    assert (window.frames, window.frames_usable) == (1, 1)


def test_evidence_is_forgotten_only_while_no_episode_is_open() -> None:
    tracker = tracker_with()
    tracker.count_frame(at(1.0), usable=True)
    tracker.forget_evidence(at(1.0))
    tracker.count_frame(at(2.0), usable=True)
    opened = tracker.advance(state_of(PONDING), DRY, at(2.0), 2.0)
    tracker.count_frame(at(3.0), usable=True)
    tracker.forget_evidence(at(3.0))
    closed = tracker.advance(state_of(DRY), PONDING, at(4.0), 4.0)
    assert opened is not None
    assert closed is not None
    assert opened.evidence.start == at(2.0)
    assert closed.evidence.frames == 1


@pytest.mark.parametrize(
    ("episode", "begin", "level", "kind"),
    [
        pytest.param(episode_at(PONDING), PONDING, PONDING, None, id="same"),
        pytest.param(episode_at(PONDING), PONDING, SEVERE, EventKind.UPDATE, id="update"),
        pytest.param(episode_at(PONDING), PONDING, DRY, EventKind.CLOSE, id="close"),
        pytest.param(episode_at(PONDING), PONDING, UNKNOWN, EventKind.STALE, id="stale"),
        pytest.param(episode_at(PONDING, is_stale=True), UNKNOWN, UNKNOWN, None, id="blind"),
        pytest.param(
            episode_at(PONDING, is_stale=True), UNKNOWN, PONDING, EventKind.RESUME, id="resume"
        ),
    ],
)
def test_a_restored_episode_goes_on_and_is_not_opened_again(
    episode: Episode, begin: WaterLevel, level: WaterLevel, kind: EventKind | None
) -> None:
    event = tracker_with(episode).advance(state_of(level), begin, at(0.0), 0.0)
    assert (event and event.kind) == kind
    if event is not None:
        assert event.episode.event_id == episode.event_id
        assert event.episode.seq == episode.seq + 1
        assert event.episode.opened_at == episode.opened_at
        assert event.episode.peak_fraction == 0.3


RISING_FAST = WaterTrend(Trend.RISING, 6.0, None, None, 300.0, is_rapid=True, next_level=None)


def walk(
    tracker: EpisodeTracker, steps: list[tuple[float, WaterLevel]]
) -> list[tuple[float, str, WaterLevel, WaterLevel, int]]:
    """Return (time, kind, level before, level after, suppressed) of each event."""
    told, previous = [], DRY
    for t_s, level in steps:
        event = tracker.advance(state_of(level), previous, at(t_s), t_s)
        previous = level
        if event is not None:
            levels = (event.previous_level, event.state.level)
            told.append((t_s, event.kind.value, *levels, event.suppressed))
    return told


def limited(episode: Episode | None = None) -> EpisodeTracker:
    return EpisodeTracker(new_event_id=numbered_ids(), episode=episode, update_every_s=300.0)


def test_good_news_waits_and_bad_news_does_not() -> None:
    steps = [(0.0, PONDING), (10.0, SEVERE), (100.0, FLOODED), (309.0, FLOODED)]
    told = walk(limited(), [*steps, (310.0, FLOODED), (311.0, SEVERE)])
    assert told == [
        (0.0, "open", DRY, PONDING, 0),
        (10.0, "update", PONDING, SEVERE, 0),
        (310.0, "update", SEVERE, FLOODED, 1),
        (311.0, "update", FLOODED, SEVERE, 0),
    ]


def test_water_that_swings_around_a_threshold_is_told_of_once_and_the_rest_is_counted() -> None:
    swings = [(10.0 * i, FLOODED if i % 2 else SEVERE) for i in range(1, 9)]
    tracker = limited()
    told = walk(tracker, [(0.0, SEVERE), *swings, (90.0, DRY)])
    assert told == [(0.0, "open", DRY, SEVERE, 0), (90.0, "close", SEVERE, DRY, 8)]
    assert tracker.suppressed == 8


def test_a_camera_that_goes_blind_is_told_at_once_and_resumes_at_what_was_held_back() -> None:
    steps = [(0.0, SEVERE), (50.0, FLOODED), (60.0, UNKNOWN), (70.0, FLOODED)]
    assert walk(limited(), steps) == [
        (0.0, "open", DRY, SEVERE, 0),
        (60.0, "stale", SEVERE, UNKNOWN, 1),
        (70.0, "resume", UNKNOWN, FLOODED, 0),
    ]


def test_after_a_restart_nothing_waits() -> None:
    (event,) = walk(limited(episode_at(SEVERE)), [(0.0, FLOODED)])
    assert event[1:4] == ("update", SEVERE, FLOODED)


def test_a_rapid_rise_is_told_once_as_long_as_it_lasts() -> None:
    tracker = limited()
    calm, rapid = state_of(PONDING), replace(state_of(PONDING), trend=RISING_FAST)
    events = [
        tracker.advance(state, PONDING, at(t_s), t_s)
        for t_s, state in enumerate([calm, rapid, rapid, calm, rapid])
    ]
    assert [event and (event.kind.value, event.reasons[-1]) for event in events] == [
        ("open", ReasonCode.PERSISTENT),
        ("update", ReasonCode.RAPID_RISE),
        None,
        None,
        ("update", ReasonCode.RAPID_RISE),
    ]
    assert events[1] is not None
    assert (events[1].previous_level, events[1].state.level) == (PONDING, PONDING)


def test_a_rapid_rise_at_the_opening_is_a_reason_of_it_and_no_event_of_its_own() -> None:
    tracker = limited()
    rapid = replace(state_of(PONDING), trend=RISING_FAST)
    opened = tracker.advance(rapid, WET, at(0.0), 0.0)
    assert opened is not None
    assert opened.reasons[-1] is ReasonCode.RAPID_RISE
    assert tracker.advance(rapid, PONDING, at(1.0), 1.0) is None
