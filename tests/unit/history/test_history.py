"""The history: what was seen can be asked for, and trouble with it troubles nobody else."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.errors import StoreError
from lsm_monitor.history import history as history_module
from lsm_monitor.history import history_file
from lsm_monitor.history.query import read
from lsm_monitor.history.tiers import HistoryLimits, Reading
from lsm_monitor.types import CameraId, DepthInterval, WaterLevel
from tests.unit.history.scenes import NOON, ROAD, STREET, Recorder, at, state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def recorder(path: Path) -> Recorder:
    return Recorder(path)


def asked(
    recorder: Recorder, start_s: float, end_s: float, max_points: int = 1000
) -> list[Reading]:
    return recorder.history.readings(STREET, at(start_s), at(end_s), max_points).get(ROAD, [])


def test_readings_come_back_as_they_were_seen(recorder: Recorder) -> None:
    recorder.see(
        state(0.123, 0.25, WaterLevel.PONDING, depth=DepthInterval(10, 20, "gauge:kerb")),
        state(10, 0.5, WaterLevel.FLOODED, depth=DepthInterval(20, None, "gauge:kerb")),
        state(20, None, WaterLevel.UNKNOWN),
    )
    assert asked(recorder, -60, 60) == [
        Reading(at(0.123), 0.25, 0.25, WaterLevel.PONDING, 15.0),
        Reading(at(10), 0.5, 0.5, WaterLevel.FLOODED, 20.0),
        Reading(at(20), None, None, WaterLevel.UNKNOWN, None),
    ]


def test_each_zone_has_its_own_and_other_cameras_are_not_asked(recorder: Recorder) -> None:
    recorder.see(
        state(0, 0.1, zone="kerb"), state(0, 0.2, zone="road"), state(0, 0.3, camera="square")
    )
    found = recorder.history.readings(STREET, at(-1), at(1), 10)
    assert {zone: [r.fraction for r in readings] for zone, readings in found.items()} == {
        "kerb": [0.1],
        "road": [0.2],
    }
    assert recorder.history.readings(CameraId("nowhere"), at(-1), at(1), 10) == {}


def test_before_anything_was_written_there_are_no_readings(recorder: Recorder) -> None:
    assert recorder.history.readings(STREET, at(-1), at(1), 10) == {}


def test_ticks_that_bring_no_picture_are_no_readings(recorder: Recorder) -> None:
    seen = state(0, 0.2, WaterLevel.PONDING)
    recorder.see(seen, seen, seen)
    assert len(asked(recorder, -1, 1)) == 1


def test_a_zone_that_cannot_be_seen_any_more_is_one_reading_without_a_picture(
    recorder: Recorder,
) -> None:
    seen = state(0, 0.2, WaterLevel.PONDING)
    blind = replace(seen, level=WaterLevel.UNKNOWN, water_fraction=None, since=at(120))
    recorder.see(seen, blind, blind)
    assert [(r.at, r.fraction) for r in asked(recorder, -1, 200)] == [
        (at(0), 0.2),
        (at(120), None),
    ]


def test_the_end_is_not_part_of_the_answer_and_the_start_is(recorder: Recorder) -> None:
    recorder.see(*(state(10 * i) for i in range(4)))
    assert [r.at for r in asked(recorder, 10, 30)] == [at(10), at(20)]


def test_what_is_too_much_to_show_is_put_together_and_keeps_its_peak(
    recorder: Recorder,
) -> None:
    recorder.see(*(state(i, 0.01 * i, WaterLevel.WET) for i in range(60)))
    recorder.see(state(60, 0.9, WaterLevel.SEVERE, depth=DepthInterval(4, 6, "gauge:kerb")))
    recorder.see(*(state(61 + i, 0.0) for i in range(39)))
    few = asked(recorder, 0, 100, max_points=10)
    assert len(few) == 10
    assert few[0] == Reading(at(0), 0.045, 0.09, WaterLevel.WET, None)
    assert few[6] == Reading(at(60), 0.09, 0.9, WaterLevel.SEVERE, 5.0)


@pytest.mark.parametrize(("end_s", "points"), [(0, 10), (-1, 10), (10, 0)])
def test_a_question_that_makes_no_sense_is_refused(
    recorder: Recorder, end_s: float, points: int
) -> None:
    with pytest.raises(ValueError, match="'end' must be after 'start'"):
        recorder.history.readings(STREET, NOON, at(end_s), points)


def test_the_old_is_kept_by_the_minute_and_the_very_old_by_the_quarter_of_an_hour(
    path: Path,
) -> None:
    limits = HistoryLimits(raw_s=3600, minute_s=4 * 3600, quarter_hour_s=10 * 3600)
    recorder = Recorder(path, limits=limits)
    for i in range(12 * 360):
        recorder.history.record([state(10 * i, (i % 6) / 10, WaterLevel.WET)])
        if i % 30 == 29:
            recorder.write(at_s=10 * i + 5)
    end_s = 12 * 3600

    newest = asked(recorder, end_s - 60, end_s)
    assert [(r.at, r.fraction) for r in newest] == [
        (at(end_s - 60 + 10 * i), i / 10) for i in range(6)
    ]
    minutes = asked(recorder, end_s - 2 * 3600, end_s - 2 * 3600 + 120)
    assert minutes == [
        Reading(at(end_s - 7200 + 60 * i), 0.25, 0.5, WaterLevel.WET, None) for i in range(2)
    ]
    quarters = asked(recorder, end_s - 6 * 3600, end_s - 6 * 3600 + 1800)
    assert quarters == [
        Reading(at(end_s - 21600 + 900 * i), 0.25, 0.5, WaterLevel.WET, None) for i in range(2)
    ]
    # What is forgotten goes by the slot: a minute, a quarter of an hour, a day.
    rows = _rows_by_tier(path)
    assert rows["raw"] <= 3600 / 10 + 6
    assert rows["minute"] <= 4 * 60 + 15
    assert rows["quarter_hour"] <= 96


def _rows_by_tier(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608
            for name in ("raw", "minute", "quarter_hour")
        }
    connection.close()
    return counts


@settings(deadline=None, max_examples=25)
@given(
    seen_s=st.lists(st.integers(0, 7200), min_size=1, max_size=30, unique=True),
    write_every=st.integers(1, 10),
    window=st.tuples(st.integers(-60, 7300), st.integers(1, 7300)),
    points=st.integers(1, 50),
)
def test_whatever_is_asked_no_reading_is_counted_twice_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    seen_s: list[int],
    write_every: int,
    window: tuple[int, int],
    points: int,
) -> None:
    """Readings in any order, a clock that never goes back, any window: the peak is there."""
    recorder = Recorder(tmp_path_factory.mktemp("h") / "history.sqlite3")
    newest_s = 0
    for i, second in enumerate(seen_s):
        recorder.history.record([state(second, second / 10_000)])
        newest_s = max(newest_s, second)
        if i % write_every == 0:
            recorder.write(at_s=newest_s)
    recorder.write(at_s=newest_s)

    everything = read(recorder.history._path, STREET, at(-60), at(7300))[ROAD]
    assert [r.at for r in everything] == [at(second) for second in sorted(seen_s)]

    start_s, span_s = window
    found = asked(recorder, start_s, start_s + span_s, points)
    assert len(found) <= points
    assert [r.at for r in found] == sorted(r.at for r in found)
    # A row of a coarser tier stands for readings up to 15 minutes after its time.
    inside = [s for s in seen_s if start_s <= s < start_s + span_s]
    if span_s / points < 60:
        peaks = [r.fraction_max for r in found if r.fraction_max is not None]
        assert max(peaks, default=0.0) == pytest.approx(max(inside, default=0) / 10_000)


def test_a_reading_that_comes_late_is_put_into_its_minute_too(recorder: Recorder) -> None:
    recorder.see(state(10, 0.2))
    recorder.see(state(600, 0.0))
    recorder.set_clock(700)
    recorder.history.record([state(20, 0.4)])
    recorder.history.flush()
    recorder.see(state(800, 0.0))
    assert asked(recorder, 0, 60 * 61, max_points=61)[0] == Reading(
        at(0), 0.3, 0.4, WaterLevel.DRY, None
    )


def test_a_file_that_is_too_large_gives_up_its_oldest_readings(path: Path) -> None:
    recorder = Recorder(path, limits=HistoryLimits(max_bytes=200_000))
    for i in range(20):
        recorder.see(*(state(600 * i + j / 10, zone=f"zone-{j}") for j in range(500)))
    assert path.stat().st_size < 300_000
    newest = recorder.history.readings(STREET, at(600 * 19), at(600 * 20), 1000)
    assert len(newest) == 500
    assert not recorder.history.readings(STREET, at(0), at(60), 1000)


def test_a_full_disk_costs_readings_and_when_there_is_room_again_they_are_kept(
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder.see(state(0))
    monkeypatch.setattr(history_file, "_RESERVE_BYTES", 1 << 60)
    recorder.see(state(10))
    recorder.see(state(20))
    assert recorder.metrics.snapshot()["lsm_history_writable"] == 0
    assert recorder.metrics.snapshot()['lsm_queue_depth{queue="history"}'] == 2
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert "left to the events" in caplog.text
    monkeypatch.undo()
    recorder.see(state(30))
    assert [r.at for r in asked(recorder, 0, 60)] == [at(0), at(10), at(20), at(30)]
    assert recorder.metrics.snapshot()["lsm_history_writable"] == 1


def test_what_waits_for_the_disk_is_bounded_and_what_goes_is_counted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_QUEUE_LIMIT", 3)
    monkeypatch.setattr(history_file, "_RESERVE_BYTES", 1 << 60)
    for i in range(5):
        recorder.see(state(i))
    assert recorder.metrics.snapshot()["lsm_history_dropped_total"] == 2
    monkeypatch.setattr(history_file, "_RESERVE_BYTES", 0)
    recorder.history.flush()
    assert [r.at for r in asked(recorder, 0, 60)] == [at(2), at(3), at(4)]


def test_a_folder_that_cannot_be_written_costs_readings_only(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    recorder = Recorder(tmp_path / "state" / "history.sqlite3")
    recorder.see(state(0))
    assert recorder.metrics.snapshot()["lsm_history_writable"] == 0


def test_a_file_that_is_not_a_database_is_set_aside_and_only_the_newest_is_kept(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.with_name("history.sqlite3.corrupt-20200101T000000Z").write_bytes(b"old")
    path.write_bytes(b"garbage " * 1000)
    recorder = Recorder(path)
    recorder.see(state(0, 0.5))
    assert [r.fraction for r in asked(recorder, -1, 1)] == [0.5]
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes().startswith(b"garbage")
    assert "kept as history.sqlite3.corrupt-2026" in caplog.text


def test_damage_that_somebody_who_reads_finds_has_the_file_set_aside(path: Path) -> None:
    recorder = Recorder(path)
    recorder.see(*(state(i) for i in range(2000)))
    recorder.history._close()
    content = bytearray(path.read_bytes())
    content[4096 * 5 :] = b"\xff" * (len(content) - 4096 * 5)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read"):
        asked(recorder, 0, 3000, max_points=3000)
    recorder.see(state(3000, 0.5))
    assert [r.fraction for r in asked(recorder, 0, 4000)] == [0.5]
    assert list(path.parent.glob("*.corrupt-*"))


def test_a_file_of_a_later_version_is_left_alone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE future (x)")
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    before = path.read_bytes()
    recorder = Recorder(path)
    recorder.see(state(0))
    assert path.read_bytes() == before
    assert "its format is 9" in caplog.text
    with pytest.raises(StoreError, match="its format is 9"):
        asked(recorder, 0, 1)


def test_readings_can_be_read_where_nothing_can_be_written_and_nobody_writes(
    recorder: Recorder, path: Path, tmp_path: Path
) -> None:
    recorder.see(state(0, 0.5))
    recorder.history._close()
    copy = tmp_path / "copy"
    shutil.copytree(path.parent, copy)
    copy.chmod(0o500)
    try:
        assert read(copy / path.name, STREET, at(-1), at(1))[ROAD][0].fraction == 0.5
    finally:
        copy.chmod(0o700)


def test_the_thread_writes_what_is_left_when_it_is_told_to_stop(recorder: Recorder) -> None:
    recorder.history.record([state(0, 0.5)])
    stop = threading.Event()
    stop.set()
    recorder.history.run(stop)
    assert not recorder.history._path.with_name("history.sqlite3-wal").exists()
    assert [r.fraction for r in asked(recorder, -1, 1)] == [0.5]
