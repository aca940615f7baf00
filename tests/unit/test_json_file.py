from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lsm_monitor import json_file
from lsm_monitor.errors import StoreError

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)


def test_what_was_written_is_read_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.json"
    for content in ({"a": [1, "ü\ud800"]}, {"b": None}):
        json_file.write(path, content)
        assert json_file.read(path, now=NOW) == content
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_nothing(tmp_path: Path) -> None:
    assert json_file.read(tmp_path / "a.json", now=NOW) is None


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    json_file.write(path, 1)
    (tmp_path / "a.json.new").mkdir()
    with pytest.raises(StoreError, match="check that the disk is neither full nor read-only"):
        json_file.write(path, 2)
    assert json.loads(path.read_bytes()) == 1


def test_a_draft_of_a_power_cut_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    json_file.write(path, 1)
    (tmp_path / "a.json.new").write_bytes(b'{"half":')
    assert json_file.read(path, now=NOW) == 1
    json_file.write(path, 2)
    assert json_file.read(path, now=NOW) == 2


def test_a_damaged_file_is_kept_under_another_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"half":')
    assert json_file.read(path, now=NOW) is None
    assert (tmp_path / "a.json.corrupt-20260718T060000Z").read_bytes() == b'{"half":'
    assert "kept as a.json.corrupt-20260718T060000Z" in caplog.text
