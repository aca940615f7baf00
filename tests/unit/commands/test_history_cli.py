"""``lsm-monitor history``, beside a daemon that has the file open."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.errors import StoreError
from lsm_monitor.history.history import HISTORY_FILE
from lsm_monitor.types import DepthInterval, WaterLevel
from tests.unit.history.scenes import Recorder, state

GAUGE = DepthInterval(10, 20, "gauge:kerb")
WINDOW = ("--since", "2026-07-01T12:00Z", "--until", "2026-07-01T13:00Z")


def export(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["history", "export", "street", "--state-dir", str(folder), *arguments]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a daemon that has seen a road go under."""
    recorder = Recorder(tmp_path / HISTORY_FILE)
    recorder.see(state(0, 0.0), state(10, 0.5, WaterLevel.FLOODED, depth=GAUGE), state(4000))
    return tmp_path


def test_readings_are_a_table_for_a_spreadsheet(folder: Path) -> None:
    rows = list(csv.DictReader(export(folder, *WINDOW).stdout.splitlines()))
    assert rows == [
        {
            "at": "2026-07-01T12:00:00+00:00",
            "camera": "street",
            "zone": "road",
            "fraction": "0.0",
            "fraction_max": "0.0",
            "level": "dry",
            "depth_cm": "",
        },
        {
            "at": "2026-07-01T12:00:10+00:00",
            "camera": "street",
            "zone": "road",
            "fraction": "0.5",
            "fraction_max": "0.5",
            "level": "flooded",
            "depth_cm": "15.0",
        },
    ]


def test_readings_are_objects_for_a_program_and_may_be_put_together(folder: Path) -> None:
    lines = export(folder, *WINDOW, "--points", "1", "--json").stdout.splitlines()
    (reading,) = (json.loads(line) for line in lines)
    assert (reading["fraction"], reading["fraction_max"]) == (0.25, 0.5)
    assert (reading["level"], reading["depth_cm"]) == ("flooded", 15.0)


def test_a_time_that_ends_before_it_begins_is_refused(folder: Path) -> None:
    result = export(folder, "--since", "2026-07-02", "--until", "2026-07-01")
    assert result.exit_code == 2
    assert "no time from" in result.output


def test_a_folder_without_a_history_is_named(tmp_path: Path) -> None:
    result = export(tmp_path)
    assert isinstance(result.exception, StoreError)
    assert str(tmp_path) in str(result.exception)


def test_a_time_without_readings_is_a_table_without_rows(folder: Path) -> None:
    result = export(folder, "--since", "2026-06-01", "--until", "2026-06-02")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)


def test_a_camera_that_never_was_is_refused_with_those_that_were(folder: Path) -> None:
    arguments = ["history", "export", "stret", "--state-dir", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "'stret'" in result.output
    assert "street" in result.output
