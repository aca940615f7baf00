from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from lsm_monitor.publish.announced import AnnouncedTopics

NOW = datetime(2026, 7, 18, 6, 0, tzinfo=UTC)


def open_in(folder: Path) -> AnnouncedTopics:
    return AnnouncedTopics.open(folder / "announced.json", now=NOW)


def test_what_is_gone_is_named_until_it_is_struck_out_over_restarts_too(tmp_path: Path) -> None:
    assert open_in(tmp_path).replace({"a", "b"}) == set()
    assert open_in(tmp_path).replace({"b", "c"}) == {"a"}
    announced = open_in(tmp_path)
    assert announced.topics == {"a", "b", "c"}
    assert announced.replace({"c"}) == {"a", "b"}
    announced.strike({"a"})
    assert open_in(tmp_path).replace({"c"}) == {"b"}


def test_what_comes_back_is_not_gone(tmp_path: Path) -> None:
    announced = open_in(tmp_path)
    announced.replace({"a", "b"})
    assert announced.replace({"b"}) == {"a"}
    assert announced.replace({"a", "b"}) == set()


def test_what_came_back_while_it_was_being_removed_is_not_struck_out(tmp_path: Path) -> None:
    announced = open_in(tmp_path)
    announced.replace({"a", "b"})
    announced.replace({"b"})
    announced.replace({"a", "b"})
    announced.strike({"a"})  # the broker has the removal of before
    assert open_in(tmp_path).replace({"b"}) == {"a"}


def test_a_disk_that_refuses_is_reported_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    announced = open_in(tmp_path)
    announced.replace({"a"})
    in_the_way = tmp_path / "announced.json.new"
    in_the_way.mkdir()
    assert announced.replace({"b"}) == {"a"}
    assert "announced.json: cannot be written" in caplog.text
    assert open_in(tmp_path).topics == {"a"}
    in_the_way.rmdir()
    announced.replace({"b"})
    assert open_in(tmp_path).topics == {"a", "b"}


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"version":1,"topics":[1]}', b'{"version":1,"topics":["a/#"]}']
)
def test_a_damaged_list_is_set_aside(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "announced.json").write_bytes(content)
    assert open_in(tmp_path).topics == set()
    assert (tmp_path / "announced.json.corrupt-20260718T060000Z").read_bytes() == content
