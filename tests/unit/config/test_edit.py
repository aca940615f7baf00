from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.config.edit import replace_text, with_camera, without_camera
from lsm_monitor.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "config" / "monitor.example.yaml"
NEW: dict[str, Any] = {"url": "rtsp://192.0.2.9/1", "group": "tunnel"}
ZONES = {"lane-1": {"points": [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]}}


def file_with(folder: Path, text: str) -> Path:
    path = folder / "monitor.yaml"
    path.write_bytes(text.encode())
    return path


def difference(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [line for line in lines if line[0] in "+-"]


def test_a_camera_is_added_to_the_example_without_another_byte_changed() -> None:
    before, after = with_camera(EXAMPLE, "north", {**NEW, "zones": ZONES})
    assert before == EXAMPLE.read_text()
    assert difference(before, after) == [
        "+   north:\n",
        "+     url: rtsp://192.0.2.9/1\n",
        "+     group: tunnel\n",
        "+     zones:\n",
        "+       lane-1:\n",
        "+         points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]\n",
    ]


ONE = "    north:\n        url: rtsp://h/1   # the pole\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "cameras:\n" + ONE + "        # interval_s: 3\n\n# the broker\nmqtt:   {host: h}\n",
            "cameras:\n"
            + ONE
            + "        # interval_s: 3\n    new:\n      url: rtsp://h/2\n\n# the broker\n"
            "mqtt:   {host: h}\n",
            id="between-comments",
        ),
        pytest.param(
            "a: 1\r\ncameras:\r\n  n: {url: x}\r\n",
            "a: 1\r\ncameras:\r\n  n: {url: x}\r\n  new:\r\n    url: rtsp://h/2\r\n",
            id="windows",
        ),
        pytest.param(
            "cameras:\n  n: {url: x}",
            "cameras:\n  n: {url: x}\n  new:\n    url: rtsp://h/2\n",
            id="no-line-break-at-the-end",
        ),
        pytest.param(
            "cameras:   # none yet\nb: ü\n",
            "cameras:   # none yet\n  new:\n    url: rtsp://h/2\nb: ü\n",
            id="no-camera-yet",
        ),
        pytest.param(
            "größe: ü   # ä\nb: 1\n",
            "größe: ü   # ä\nb: 1\n\ncameras:\n  new:\n    url: rtsp://h/2\n",
            id="no-cameras",
        ),
        pytest.param(
            "ü: ä\ncameras:\n  n:\n    url: |\n      x\n      y\nb: 1\n",
            "ü: ä\ncameras:\n  n:\n    url: |\n      x\n      y\n  new:\n    url: rtsp://h/2\n"
            "b: 1\n",
            id="after-a-block-of-text",
        ),
    ],
)
def test_the_new_camera_stands_after_the_last_one_and_is_indented_like_it(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = file_with(tmp_path, text)
    before, after = with_camera(path, "new", {"url": "rtsp://h/2"})
    assert (before, after) == (text, expected)
    cut, back = without_camera(file_with(tmp_path, after), "new")
    assert cut == expected
    assert back.removesuffix("cameras:\n").strip() == text.strip()


@pytest.mark.parametrize(
    "text", ["cameras: {n: {url: x}}\n", "{a: 1}\n", "cameras: &c\n  n: {url: x}\nb: *c\n"]
)
def test_what_cannot_be_edited_safely_is_shown_to_be_pasted(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        with_camera(file_with(tmp_path, text), "new", {"url": "rtsp://h/2"})
    assert "add this under 'cameras' by hand:\n  new:\n    url: rtsp://h/2" in str(error.value)


def test_a_camera_that_is_there_is_not_added_and_one_that_is_not_there_not_removed() -> None:
    with pytest.raises(ConfigError, match="'school-lane' is already there"):
        with_camera(EXAMPLE, "school-lane", NEW)
    with pytest.raises(ConfigError, match="no camera 'north' in this file"):
        without_camera(EXAMPLE, "north")


def test_a_broken_file_is_reported_with_its_lines(tmp_path: Path) -> None:
    path = file_with(tmp_path, "a: 1\na: 2\n")
    with pytest.raises(ConfigError, match=r"monitor.yaml:2: a: is already given in line 1"):
        with_camera(path, "new", NEW)


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(names, values, max_size=3),
    st.dictionaries(names, values, max_size=3),
    st.sampled_from([None, True, False]),
    st.integers(1, 6),
)
def test_whatever_the_file_looks_like_it_is_edited_rightly_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory,
    sections: dict[str, Any],
    cameras: dict[str, Any],
    flow: bool | None,  # noqa: FBT001 - PyYAML's
    indent: int,
) -> None:
    data = {**sections, "cameras": cameras}
    text = yaml.safe_dump(data, default_flow_style=flow, indent=indent, allow_unicode=True)
    path = file_with(tmp_path_factory.mktemp("edit"), text)
    try:
        _, after = with_camera(path, "new-1", NEW)
    except ConfigError:
        return
    assert yaml.safe_load(after) == {**data, "cameras": {**cameras, "new-1": NEW}}


def test_the_file_is_replaced_with_its_rights_and_through_a_link(tmp_path: Path) -> None:
    path = file_with(tmp_path, "old")
    path.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    replace_text(link, "old", "new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.yaml", "monitor.yaml"]


def test_a_file_that_somebody_else_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = file_with(tmp_path, "theirs")
    with pytest.raises(ConfigError, match="was changed by somebody else"):
        replace_text(path, "old", "new")
    assert path.read_text() == "theirs"


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_with(tmp_path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"No space left on device.*nothing was changed"):
        replace_text(path, "old", "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    path = file_with(tmp_path, "\ufeffold")
    replace_text(path, "old", "new")
    assert path.read_bytes() == "\ufeffnew".encode()
