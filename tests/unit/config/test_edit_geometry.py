from __future__ import annotations

import copy
import difflib
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, note
from hypothesis import strategies as st

from lsm_monitor.config.compose import compose
from lsm_monitor.config.document import parse
from lsm_monitor.config.edit_geometry import GEOMETRY_KEYS, geometry_in, with_geometry
from lsm_monitor.config.edit_text import difference, end_of_entry
from lsm_monitor.errors import ConfigError

EXAMPLE = Path(__file__).parents[3] / "config" / "monitor.example.yaml"
UNDERPASS = "wensan-underpass"
TRIANGLE = [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]


def file_with(folder: Path, text: str, name: str = "monitor.yaml") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.ndiff(before.split("\n"), after.split("\n"))
    return [line for line in lines if line[0] in "+-"]


def geometry_of_example() -> dict[str, Any]:
    return geometry_in(EXAMPLE, UNDERPASS)


def test_a_corner_that_is_moved_changes_its_two_numbers() -> None:
    geometry = geometry_of_example()
    geometry["zones"]["lane-1"]["points"][1] = [0.43, 0.41]
    before, after = with_geometry(EXAMPLE, UNDERPASS, geometry)
    assert changed_lines(before, after) == [
        "-       lane-1: {points: [[0.10, 0.95], [0.42, 0.40], [0.55, 0.40], [0.60, 0.95]]}",
        "+       lane-1: {points: [[0.10, 0.95], [0.43, 0.41], [0.55, 0.40], [0.60, 0.95]]}",
    ]


def test_a_new_zone_is_written_as_its_neighbours_are() -> None:
    geometry = geometry_of_example()
    geometry["zones"]["kerb"] = {"points": TRIANGLE}
    before, after = with_geometry(EXAMPLE, UNDERPASS, geometry)
    assert changed_lines(before, after) == [
        "+       kerb: {points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]}"
    ]


def test_gauges_and_ground_that_are_cleared_go_and_nothing_else_does() -> None:
    zones = {"zones": geometry_of_example()["zones"]}
    before, after = with_geometry(EXAMPLE, UNDERPASS, zones)
    gone = changed_lines(before, after)
    assert [line[:1] for line in gone] == ["-"] * 13
    assert gone[0].startswith("-     gauges:")
    assert geometry_in(EXAMPLE, UNDERPASS).keys() == set(GEOMETRY_KEYS)


def test_what_says_the_same_leaves_the_file_alone() -> None:
    before, after = with_geometry(EXAMPLE, UNDERPASS, geometry_of_example())
    assert before == after == EXAMPLE.read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "cameras:\n  n: {url: x}   # the pole\n",
            "cameras:\n  n: {url: x, zones: {a: {points: [[0, 0], [1, 0], [1, 1]]}}}"
            "   # the pole\n",
            id="in-brackets",
        ),
        pytest.param(
            "cameras:\r\n    n:\r\n        url: x   # ü",
            "cameras:\r\n    n:\r\n        url: x   # ü\r\n        zones:\r\n          a:\r\n"
            "            points: [[0, 0], [1, 0], [1, 1]]",
            id="windows-without-a-last-line-break",
        ),
        pytest.param(
            "cameras:\n  n:\n    zones:   # of the road\n      b:\n        points:\n"
            "        - [0, 0]   # the kerb\n        - [1, 1]\n        - [1, 0]\n"
            "        # - [0.5, 0.5]\n    url: x\n  m: {url: y}\n",
            "cameras:\n  n:\n    zones:   # of the road\n      a:\n"
            "        points: [[0, 0], [1, 0], [1, 1]]\n    url: x\n  m: {url: y}\n",
            id="another-name",
        ),
    ],
)
def test_the_only_zone_becomes_this_one(tmp_path: Path, text: str, expected: str) -> None:
    path = file_with(tmp_path, text)
    zones = {"a": {"points": [[0, 0], [1, 0], [1, 1]]}}
    assert with_geometry(path, "n", {"zones": zones}) == (text, expected)


def test_corners_in_lines_of_their_own_keep_their_comments(tmp_path: Path) -> None:
    text = (
        "cameras:\n  n:\n    url: x\n    zones:\n      a:\n        points:\n"
        "        - [0.00, 0]   # kerb\n        - [1, 0]\n        - - 1   # far\n          - 1\n"
        "        - [0, 1]   # last\n"
    )
    zones = {"a": {"points": [[0, 0], [0.5, 0.25], [1, 0], [1, 0.75]]}}
    _, after = with_geometry(file_with(tmp_path, text), "n", {"zones": zones})
    assert after == (
        "cameras:\n  n:\n    url: x\n    zones:\n      a:\n        points:\n"
        "        - [0.00, 0]   # kerb\n        - [0.5, 0.25]\n        - [1, 0]\n"
        "        - - 1   # far\n          - 0.75\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "cameras:\n  n: &n\n    url: x\n    zones: {b: {points: [[0, 0]]}}\n  m: *n\n",
        "cameras:\n  n:\n    url: x\n    zones: &z {b: {points: [[0, 0]]}}\n  m: {zones: *z}\n",
    ],
)
def test_what_others_share_by_an_alias_is_shown_to_be_put_in(tmp_path: Path, text: str) -> None:
    path = file_with(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        with_geometry(path, "n", {"zones": {"a": {"points": TRIANGLE}}})
    assert "camera 'n' cannot be edited safely" in str(error.value)
    assert "  zones:\n    a:\n      points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]" in str(
        error.value
    )


def test_an_alias_of_the_camera_alone_is_replaced_by_what_was_drawn(tmp_path: Path) -> None:
    text = "corners: &c [[0, 0]]\ncameras:\n  n: {url: x, zones: {a: {points: *c}}}\n"
    _, after = with_geometry(
        file_with(tmp_path, text), "n", {"zones": {"a": {"points": [[0, 1]]}}}
    )
    assert after == text.replace("*c", "[[0, 1]]")


def test_merge_keys_are_refused_with_their_line(tmp_path: Path) -> None:
    path = file_with(tmp_path, "a: &a {url: x}\ncameras:\n  n:\n    <<: *a\n")
    with pytest.raises(ConfigError, match=r"monitor.yaml:4: .*merge keys"):
        with_geometry(path, "n", {})


def test_of_a_table_the_cells_are_named(tmp_path: Path) -> None:
    text = 'id;url;zones.old.points\nn;x;"[[0, 0], [1, 0], [1, 1]]"\n'
    path = file_with(tmp_path, text, "cameras.csv")
    with pytest.raises(ConfigError) as error:
        with_geometry(path, "n", {"zones": {"a": {"points": TRIANGLE}}})
    assert str(error.value) == (
        "cameras.csv:2: camera 'n' stands in a table, and tables are not edited here; put "
        "these cells into its row, or move it to a YAML file of the inventory:\n"
        "  zones.a.points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]\n"
        "  zones.old.points: (empty)"
    )
    before, after = with_geometry(path, "n", geometry_in(path, "n"))
    assert before == after == text


def test_a_camera_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="camera 'n' is not in this file"):
        with_geometry(file_with(tmp_path, "cameras: {m: {url: x}}\n"), "n", {})


@pytest.mark.skipif(shutil.which("patch") is None, reason="apt install patch")
@pytest.mark.parametrize(
    ("before", "after"),
    [("a\nb", "a\nc"), ("a\r\nb\r\n", "a\r\nc\r\n"), ("a\x85ü\n", "a\x85ö"), ("a\n", "")],
)
def test_the_difference_can_be_given_to_patch(tmp_path: Path, before: str, after: str) -> None:
    path = file_with(tmp_path, before)
    text = difference(path.name, before, after)
    command = ["patch", "--binary", "--quiet", str(path)]
    subprocess.run(command, input=text.encode(), check=True, cwd=tmp_path)  # noqa: S603
    assert (path.read_bytes().decode() if path.exists() else "") == after


names = st.sampled_from(["a", "lane-1", "on", "1", "null", "1e3", "no-2"])
corners = st.lists(st.tuples(*[st.sampled_from([0, 0.25, 0.3333, 1, 1e-5])] * 2).map(list))
zones = st.dictionaries(names, st.fixed_dictionaries({"points": corners.filter(len)}))
marks = st.fixed_dictionaries(
    {}, optional={"points": corners, "line": corners, "preset": names, "depth_cm": st.just(25)}
)
staffs = st.fixed_dictionaries(
    {"bottom": st.just((0, 1)).map(list), "top": corners, "top_cm": st.just(9)}
)
gauges = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {}, optional={"zone": names, "marks": st.lists(marks, max_size=3), "staff": staffs}
    ),
)
geometries: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "zones": zones,
        "gauges": gauges,
        "ground": st.none() | st.fixed_dictionaries({"points": corners}),
    },
)
others = st.dictionaries(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6
    ),
    st.none() | st.text(max_size=4) | st.lists(st.integers(), max_size=2),
    max_size=2,
).map(
    lambda each: {k: v for k, v in each.items() if k not in (*GEOMETRY_KEYS, "cameras", "<<")}
)


def written(data: dict[str, Any], style: random.Random) -> str:
    """Return ``data`` as some person could have written it: styles, comments, line ends."""
    text = yaml.safe_dump(
        data,
        default_flow_style=style.choice([None, True, False]),
        indent=style.randint(2, 5),
        allow_unicode=True,
        sort_keys=False,
        width=10_000,
    )
    lines = []
    for line in text.split("\n")[:-1]:
        if style.random() < 0.2:
            lines.append(" " * style.randint(0, 12) + "# ä: [comment")
        lines.append(line + ("   # ü}" if style.random() < 0.2 else ""))
    end = style.choice(["\n", "\r\n"])
    return end.join(lines) + style.choice([end, ""])


def around_the_camera(text: str) -> tuple[str, str]:
    """Return what stands before and after the camera: no edit may touch it."""
    root = compose(text)
    assert isinstance(root, yaml.MappingNode)
    cameras = next(value for key, value in root.value if key.value == "cameras")
    key, node = next(pair for pair in cameras.value if pair[0].value == "n")
    end = node.end_mark.index
    if not node.flow_style:
        end = end_of_entry(text, node, key.start_mark.column)
    return text[: key.start_mark.index], text[end:]


def lines_besides(folder: Path, text: str) -> list[str]:
    """Return the lines of ``text`` without the camera's geometry; comments go with it."""
    _, cut = with_geometry(file_with(folder, text, "cut.yaml"), "n", {})
    assert cut.endswith("\n") == text.endswith("\n")
    return [line for line in cut.splitlines() if not line.lstrip().startswith("#")]


@given(
    st.lists(others, min_size=4, max_size=4),
    geometries,
    geometries,
    st.randoms(use_true_random=False),
)
def test_whatever_the_file_looks_like_the_geometry_is_replaced_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    about: list[dict[str, Any]],
    had: dict[str, Any],
    wanted: dict[str, Any],
    style: random.Random,
) -> None:
    had = {key: value for key, value in had.items() if value}
    camera = {"url": "rtsp://h/1", **had, **about[0]}
    data = {**about[1], "cameras": {"m": about[2] or {"url": "y"}, "n": camera}, **about[3]}
    text = written(data, style)
    folder = tmp_path_factory.mktemp("edit")
    path = file_with(folder, text)
    note(text)
    original = parse(path, path.name)
    if original.problems:  # a comment inside a text of several lines, say
        return
    _, after = with_geometry(path, "n", wanted)
    intended = copy.deepcopy(original.data)
    assert isinstance(intended, dict)
    rest = {k: v for k, v in intended["cameras"]["n"].items() if k not in GEOMETRY_KEYS}
    kept = {key: value for key, value in wanted.items() if value}
    if after != text:
        intended["cameras"]["n"] = {**rest, **kept}
    assert parse(path, path.name, text=after).data == intended
    assert geometry_in(file_with(folder, after), "n") == kept
    before_it, behind_it = around_the_camera(text)
    assert after.startswith(before_it)
    assert after.endswith(behind_it)
    assert lines_besides(folder, after) == lines_besides(folder, text)
