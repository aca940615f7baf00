"""Wall clocks jump: NTP, a person, a leap second, a time zone. Decisions must not notice."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.clock import SettledTime, SystemClock
from lsm_monitor.history.history import History
from lsm_monitor.history.tiers import HistoryLimits
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import EventKind
from tests.fakes import FakeClock
from tests.unit.history.scenes import ROAD, STREET, state
from tests.unit.history.scenes import at as at_noon
from tests.unit.publish.scenes import EVENT_ID
from tests.unit.runtime.test_decisions import Street
from tests.unit.runtime.test_evidence_desk import Desk, picture

STORY = ((0.0, 3), (0.3, 6), (0.6, 6), (0.3, 6), (0.0, 8), (0.3, 6), (0.0, 6))
"""Share of water, and for how many seconds."""
TEN_YEARS = timedelta(days=3650)
HOURS = st.sampled_from([-24.0, -3.0, -1.0, -1 / 3600, 1 / 3600, 1.0, 8.0, 24.0 * 400])


class SteppedClock(FakeClock):
    """A wall clock that somebody sets; the monotonic one goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by = timedelta()

    def now(self) -> datetime:
        return super().now() + self.set_by


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def tell(folder: Path, steps: dict[int, float]) -> tuple[list[tuple[str, int, int]], Street]:
    """Return kind, number and monotonic second of each event, stepping the clock by hours."""
    clock = SteppedClock()
    street = Street(folder, clock)
    events: list[tuple[str, int, int]] = []
    second = 0
    for fraction, seconds in STORY:
        for _ in range(seconds):
            clock.set_by += timedelta(hours=steps.get(second, 0.0))
            street.see(fraction)
            second += 1
            new = street.events()[len(events) :]
            events += [(kind, seq, second) for kind, seq in new]
    return events, street


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int, int]]:
    events, street = tell(tmp_path_factory.mktemp("clock"), {})
    street.outbox.close()
    assert [kind for kind, _, _ in events] == [
        *("open", "update", "close"),  # the fall between them is held back
        *("open", "close"),
    ]
    return events


@given(steps=st.dictionaries(st.integers(0, sum(s for _, s in STORY) - 1), HOURS, max_size=6))
@settings(max_examples=25, deadline=None)  # each writes a file
def test_a_clock_that_is_set_changes_neither_dwell_nor_order(
    tmp_path_factory: pytest.TempPathFactory,
    undisturbed: list[tuple[str, int, int]],
    steps: dict[int, float],
) -> None:
    folder = tmp_path_factory.mktemp("clock")
    events, street = tell(folder, steps)
    assert events == undisturbed
    rows = street.outbox.pending(100)
    assert [row.row_id for row in rows] == sorted({row.row_id for row in rows})
    street.outbox.close()


def test_an_event_after_the_clock_was_set_back_stays_behind_the_earlier_ones_over_a_restart(
    tmp_path: Path,
) -> None:
    clock = SteppedClock()
    street = Street(tmp_path, clock)
    street.see(0.3, seconds=6)
    street.outbox.close()
    clock.set_by = timedelta(hours=-5)
    again = Street(tmp_path, clock)
    again.see(0.6, seconds=6)
    assert again.events() == [("open", 1), ("update", 2)]
    again.outbox.close()


def test_time_that_jumps_ahead_counts_when_it_has_lasted_and_back_at_once() -> None:
    clock = SteppedClock()
    settled, start = SettledTime(clock), clock.now()
    assert settled.now() == start
    clock.set_by, clock.now_s = TEN_YEARS, clock.now_s + 3599
    assert settled.now() == start + timedelta(seconds=3599)
    clock.now_s += 3599
    assert settled.now() == start + timedelta(seconds=2 * 3599)
    clock.now_s += 1
    assert settled.now() == clock.now()
    clock.set_by = -TEN_YEARS
    assert settled.now() == clock.now()


def test_a_clock_that_is_years_ahead_for_minutes_costs_no_event(
    tmp_path: Path, clock: SteppedClock
) -> None:
    street = Street(tmp_path, clock)
    street.see(0.3, seconds=6)
    street.see(0.0, seconds=6)
    clock.set_by = TEN_YEARS
    street.wait(300)
    clock.set_by = timedelta()
    street.wait(120)
    with sqlite3.connect(tmp_path / "outbox.sqlite3") as file:
        assert file.execute("SELECT event_type FROM event").fetchall() == [
            ("open",),
            ("close",),
        ]
    file.close()
    street.outbox.close()


def test_a_clock_that_is_years_ahead_for_minutes_costs_no_reading(
    tmp_path: Path, clock: SteppedClock
) -> None:
    limits = HistoryLimits(quarter_hour_s=5 * 365 * 86400.0)
    history = History(tmp_path / "h.sqlite3", limits=limits, metrics=Metrics(), clock=clock)
    clock.set_by = at_noon(0) - clock.now()
    for ahead in (timedelta(), TEN_YEARS, -TEN_YEARS):
        clock.now_s += 300
        clock.set_by += ahead
        history.record([state((clock.now() - at_noon(0)).total_seconds(), 0.25)])
        history.flush()
    found = history.readings(STREET, at_noon(0), at_noon(86400), 100)
    assert [reading.fraction for reading in found[ROAD]] == [0.25, 0.25]


def test_a_clock_that_is_years_ahead_for_minutes_costs_no_evidence(
    tmp_path: Path, clock: SteppedClock
) -> None:
    desk = Desk(tmp_path, clock=clock)
    clock.set_by = datetime.now(UTC) - clock.now()  # the files' times are the disk's
    desk.happen(EventKind.CLOSE, seen=picture())
    desk.work()
    clock.now_s += 300
    clock.set_by += TEN_YEARS
    desk.work()
    assert desk.names(EVENT_ID) != []


def test_a_change_of_the_time_zone_does_not_move_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        for zone in ("Asia/Shanghai", "America/New_York", "UTC"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            now = SystemClock().now()
            assert now.tzinfo is UTC
            assert abs(now.timestamp() - time.time()) < 5.0
    finally:
        monkeypatch.undo()
        time.tzset()
