from __future__ import annotations

import contextlib
import io
import os
import time
from csv import writer as csv_writer
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.errors import ConfigError

HEAD = "version: 1\nsite: west\nmqtt: {host: localhost}\ngroups: {tunnel: {interval_s: 5}}\n"
ZONE = "[[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]"


def load_with(
    folder: Path, files: dict[str, str | bytes], *entries: str, cameras: str = ""
) -> LoadedConfig:
    """Load a main file in ``folder`` that names ``entries``, beside these ``files``."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    entries = entries or ("cameras.csv",)
    main = folder / "monitor.yaml"
    main.write_text(HEAD + f"inventory: [{', '.join(entries)}]\n" + cameras)
    return load(main, {"PW": "hunter2"})


def problems(
    folder: Path, files: dict[str, str | bytes], *entries: str, cameras: str = ""
) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_with(folder, files, *entries, cameras=cameras)
    return str(error.value).splitlines()


def csv(*rows: str, head: str = "id,url,group,interval_s") -> dict[str, str | bytes]:
    return {"cameras.csv": "\n".join([head, *rows]) + "\n"}


def test_a_table_says_the_same_as_the_yaml_would(tmp_path: Path) -> None:
    table = (
        "id,url,group,interval_s,username,password,enabled,levels.ponding.enter,"
        "levels.ponding.leave,zones.lane-1.points\n"
        'bridge,"rtsp://192.0.2.1/a,b",tunnel,,admin,${env:PW},false,0.2,0.1,'
        f'"{ZONE}"\n'
        "lane,rtsp://192.0.2.2/1,,5m,,,,,,\n"
    ).replace("5m", "50s")
    from_table = load_with(tmp_path, {"cameras.csv": table}).config
    yaml = (
        "cameras:\n"
        "  bridge:\n"
        "    url: rtsp://192.0.2.1/a,b\n"
        "    group: tunnel\n"
        "    username: admin\n"
        "    password: ${env:PW}\n"
        "    enabled: false\n"
        "    levels: {ponding: {enter: 0.2, leave: 0.1}}\n"
        f"    zones: {{lane-1: {{points: {ZONE}}}}}\n"
        "  lane: {url: rtsp://192.0.2.2/1, interval_s: 50s}\n"
    )
    assert from_table.cameras == load_with(tmp_path, {"a.yaml": yaml}, "a.yaml").config.cameras
    assert from_table.cameras["bridge"].interval_s == 5.0


def test_the_shipped_table_is_valid_beside_the_shipped_example(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "config"
    main = (folder / "monitor.example.yaml").read_text()
    assert "# inventory: [cameras.csv, cameras.d/]" in main
    (tmp_path / "cameras.csv").write_text((folder / "cameras.example.csv").read_text())
    (tmp_path / "cameras.d").mkdir()
    (tmp_path / "monitor.yaml").write_text(main.replace("# inventory:", "inventory:"))
    environ = {"LSM_MQTT_PASSWORD": "x", "LSM_CAMERA_PASSWORD": "x"}
    cameras = load(tmp_path / "monitor.yaml", environ).config.cameras
    assert len(cameras) == 5
    assert cameras["wensan-bridge"].interval_s == 5.0


def test_what_a_spreadsheet_writes_is_understood(tmp_path: Path) -> None:
    rows = [
        "sep=;",
        "ID;URL;Interval_s;Levels.Wet.Enter;levels.wet.leave;password;username;;",
        'bridge;rtsp://192.0.2.1/1;7,5;0,03;0;"7,5";admin;;',
        ";;;;;;;;",
        "lane;rtsp://192.0.2.2/1;;;;;;;",
    ]
    content = b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n"
    cameras = load_with(tmp_path, {"cameras.csv": content}).config.cameras
    assert list(cameras) == ["bridge", "lane"]
    bridge = cameras["bridge"]
    assert (bridge.interval_s, bridge.levels.wet.enter) == (7.5, 0.03)
    assert bridge.password is not None
    assert bridge.password.get_secret_value() == "7,5"  # text stays as it is


def test_a_password_of_digits_and_a_user_called_no_stay_text(tmp_path: Path) -> None:
    files = csv("a,rtsp://h/1,no,0012", head="id,url,username,password")
    camera = load_with(tmp_path, files).config.cameras["a"]
    assert camera.username == "no"
    assert camera.password is not None
    assert camera.password.get_secret_value() == "0012"


def test_one_broken_row_of_ten_thousand_is_named_and_hides_no_other(tmp_path: Path) -> None:
    rows = [f"c{i},rtsp://h/{i},tunnel,5" for i in range(10_000)]
    rows[15] = 'c15,"rtsp://h/15,tunnel,5'  # line 17: a quote that nobody closes
    rows[9_000] = "c9000,rtsp://h/9000,tunnel,fast"
    assert problems(tmp_path, csv(*rows)) == [
        (
            "cameras.csv:17: this row cannot be read: a quoted cell begins here and does "
            "not end; mend its quotes"
        ),
        (
            "cameras.csv:9002: cameras.c9000.interval_s: 'fast' is not a duration; write "
            "seconds (90) or a unit ('90s', '5m', '1h')"
        ),
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            csv("a,rtsp://h/1,,", "b,rtsp://h/2", "c,rtsp://h/3,,,5"),
            [
                "cameras.csv:3: has 2 cells, the first line 4; is a cell with a comma quoted?",
                "cameras.csv:4: has 5 cells, the first line 4; is a cell with a comma quoted?",
            ],
            id="cells-missing-and-left-over",
        ),
        pytest.param(
            csv("a,rtsp://h/1,,", ",rtsp://h/2,,"),
            ["cameras.csv:3: 'id' is empty; every camera needs one"],
            id="no-id",
        ),
        pytest.param(
            csv("a,rtsp://h/1,,", "a,rtsp://h/2,,"),
            ["cameras.csv:3: cameras.a: is already given in line 2; remove one"],
            id="twice",
        ),
        pytest.param(
            csv("A,rtsp://h/1,,", "b,,,", "c,http//x,tunel,"),
            [
                (
                    "cameras.csv:2: cameras.A: must match ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$; use "
                    "lower case, as in 'bridge-2'"
                ),
                "cameras.csv:3: cameras.b.url: is missing; it has no default",
                (
                    "cameras.csv:4: cameras.c.group: there is no group 'tunel'; did you mean "
                    "'tunnel'?"
                ),
            ],
            id="values",
        ),
        pytest.param(
            csv("a,x", head="name,url"),
            [
                (
                    "cameras.csv:1: there is no column 'id'; the first line names them, as in: "
                    "id,url,group"
                ),
                "cameras.csv:1: unknown column 'name'; did you mean 'username'?",
            ],
            id="header",
        ),
        pytest.param(
            csv("a,rtsp://h/1,5,5,,", head="id,url,intervals,url,zones,zones.a.points"),
            [
                "cameras.csv:1: unknown column 'intervals'; did you mean 'interval_s'?",
                "cameras.csv:1: columns 'url' and 'url' say the same; remove one",
                "cameras.csv:1: columns 'zones' and 'zones.a.points' say the same; remove one",
            ],
            id="columns",
        ),
        pytest.param(
            csv("a,rtsp://h/1,[[0.1", head="id,url,zones.a.points"),
            [
                (
                    "cameras.csv:2: zones.a.points: is not JSON, as in [[0.1, 0.9], "
                    "[0.5, 0.4], [0.9, 0.9]]"
                ),
            ],
            id="not-json",
        ),
        pytest.param(
            csv('a,rtsp://h/1,"{""z"": 1, ""z"": 2}"', head="id,url,zones"),
            ["cameras.csv:2: zones: has a key twice: z, z"],
            id="a-zone-twice",
        ),
        pytest.param(
            csv("a,rtsp://h/1,hunter2", head="id,url,"),
            ["cameras.csv:2: cell 3 is not empty, but its column has no name"],
            id="a-nameless-column",
        ),
        pytest.param(
            {"cameras.csv": "id,url\na,rtsp://h/1\nbrücke,rtsp://h/2\n".encode("latin-1")},
            [
                (
                    "cameras.csv:3: not UTF-8 text (byte 0xfc); save the table as UTF-8; Excel "
                    "calls it 'CSV UTF-8'"
                ),
            ],
            id="latin-1",
        ),
        pytest.param(
            {"cameras.csv": "id,url\na,b\n".encode("utf-16")},
            [
                (
                    "cameras.csv:1: not UTF-8 text (byte 0xff); save the table as UTF-8; Excel "
                    "calls it 'CSV UTF-8'"
                ),
            ],
            id="utf-16",
        ),
        pytest.param(
            {"cameras.csv": ""},
            [
                (
                    "cameras.csv:1: there is no column 'id'; the first line names them, as in: "
                    "id,url,group"
                ),
            ],
            id="empty",
        ),
        pytest.param(
            csv('a,"rtsp://h/1"x,,'),
            [
                (
                    "cameras.csv:2: this row cannot be read: ',' expected after '\"'; mend its "
                    "quotes"
                ),
            ],
            id="quote-inside-a-cell",
        ),
        pytest.param(
            csv('a,"rtsp://h/1,,'),
            [
                (
                    "cameras.csv:2: this row cannot be read: a quoted cell begins here and "
                    "does not end; mend its quotes"
                ),
            ],
            id="quote-in-the-last-row",
        ),
        pytest.param(
            csv("a,rtsp://u:hunter2@h/1,,"),
            [
                (
                    "cameras.csv:2: cameras.a.url: write user and password as 'username' and "
                    "'password', not in the URL; an '@' of its path is %40"
                ),
            ],
            id="credentials-in-a-url",
        ),
    ],
)
def test_each_problem_of_a_table_names_its_line_and_the_way_out(
    tmp_path: Path, files: dict[str, str | bytes], expected: list[str]
) -> None:
    assert sorted(problems(tmp_path, files)) == sorted(expected)


def test_a_missing_secret_of_a_table_is_told_with_its_row(tmp_path: Path) -> None:
    files = csv("a,rtsp://h/1,admin,${env:NO_SUCH}", head="id,url,username,password")
    assert problems(tmp_path, files) == [
        "cameras.csv:2: cameras.a.password: environment variable NO_SUCH is not set"
    ]


def test_a_folder_gives_the_cameras_of_its_files_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    loaded = load_with(
        tmp_path,
        {
            "cameras.d/20-north.yaml": "cameras: {n: {url: rtsp://h/n}}\n",
            "cameras.d/10-south.csv": "id,url\ns,rtsp://h/s\n",
            "cameras.d/30-nothing-yet.yml": "# to come\n",
            "cameras.d/.20-north.yaml.swp.yaml": "cameras: [\n",
            "cameras.d/README": "not a configuration\n",
        },
        "cameras.d/",
        cameras="cameras: {main: {url: rtsp://h/m}}\n",
    )
    assert list(loaded.config.cameras) == ["main", "s", "n"]
    assert [str(path.relative_to(tmp_path)) for path in loaded.files] == [
        "monitor.yaml",
        "cameras.d",
        "cameras.d/10-south.csv",
        "cameras.d/20-north.yaml",
        "cameras.d/30-nothing-yet.yml",
    ]


def test_a_camera_in_two_files_is_named_with_both_places(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "cameras.d/a.yaml": "cameras:\n  one: {url: rtsp://h/1}\n",
        "cameras.d/b.yaml": "\ncameras:\n  one: {url: rtsp://h/2}\n",
        **csv("lane,rtsp://h/3,,"),
    }
    main = "cameras:\n  lane: {url: rtsp://h/4}\n"
    assert problems(tmp_path, files, "cameras.d", "cameras.csv", cameras=main) == [
        "cameras.d/b.yaml:3: cameras.one: is already given in cameras.d/a.yaml:2; remove one",
        "cameras.csv:2: cameras.lane: is already given in monitor.yaml:7; remove one",
    ]


def test_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.yaml": "cameras:\n  a:\n    url: rtsp://h/1\n    intervals: 4\n",
        "b.yaml": "cameras: [\n",
        **csv("c,rtsp://h/3,nowhere,"),
    }
    found = problems(tmp_path, files, "a.yaml", "b.yaml", "cameras.csv", "gone.csv", "d.txt")
    assert [line.split(": ")[:2] for line in found] == [
        ["monitor.yaml:5", "inventory.3"],
        ["monitor.yaml:5", "inventory.4"],
        ["a.yaml:4", "cameras.a.intervals"],
        ["b.yaml:2", "not valid YAML"],
        ["cameras.csv:2", "cameras.c.group"],
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "inventory: [monitor.yaml]\n",
            (
                "more.yaml:1: inventory: an inventory cannot name another; name the file in "
                "monitor.yaml"
            ),
        ),
        (
            "defaults: {interval_s: 1}\n",
            (
                "more.yaml:1: defaults: only 'cameras' may stand in an inventory; move it to "
                "monitor.yaml"
            ),
        ),
        ("- a\n", "more.yaml:1: an inventory is a mapping that starts with 'cameras:'"),
        ("cameras: [a]\n", "more.yaml:1: cameras: must be a mapping: indent its keys below it"),
    ],
)
def test_an_inventory_holds_cameras_and_nothing_else(
    tmp_path: Path, content: str, expected: str
) -> None:
    main = "cameras: {a: {url: rtsp://h/1}}\n"
    files: dict[str, str | bytes] = {"more.yaml": content}
    assert problems(tmp_path, files, "more.yaml", cameras=main) == [expected]


def test_no_file_is_read_twice_by_whatever_name(tmp_path: Path) -> None:
    (tmp_path / "again.csv").symlink_to("cameras.csv")
    entries = ("cameras.csv", "./cameras.csv", "again.csv", "monitor.yaml")
    assert problems(tmp_path, csv("a,rtsp://h/1,,"), *entries) == [
        "monitor.yaml:5: inventory.1: cameras.csv is already read as cameras.csv; remove one",
        "monitor.yaml:5: inventory.2: again.csv is already read as cameras.csv; remove one",
        "monitor.yaml:5: inventory.3: monitor.yaml is already read as monitor.yaml; remove one",
    ]


def test_a_link_that_leads_to_itself_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (line,) = problems(tmp_path, {}, "loop.csv")
    assert "is not there; name a table, a YAML file, or a folder" in line


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8).map(
    str.strip
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?", fullmatch=True),
        st.tuples(cells, cells.filter(lambda cell: not cell.startswith("${")), st.booleans()),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_a_spreadsheet_wrote_comes_back_cell_by_cell(
    tmp_path_factory: pytest.TempPathFactory,
    cameras: dict[str, tuple[str, str, bool]],
    delimiter: str,
    newline: str,
    has_mark: bool,  # noqa: FBT001
) -> None:
    text = io.StringIO(newline="")
    writer = csv_writer(text, delimiter=delimiter, lineterminator=newline)
    writer.writerow(["enabled", "id", "url", "username", "password"])
    for name, (user, password, enabled) in cameras.items():
        writer.writerow([enabled, name, "rtsp://h/1", user or "u", password])
    content = text.getvalue().encode("utf-8-sig" if has_mark else "utf-8")
    found = load_with(tmp_path_factory.mktemp("csv"), {"cameras.csv": content}).config.cameras
    assert {
        name: (
            camera.username,
            camera.password.get_secret_value() if camera.password else "",
            camera.enabled,
        )
        for name, camera in found.items()
    } == {n: (user or "u", password, on) for n, (user, password, on) in cameras.items()}


@given(st.binary(max_size=200) | st.text('id,url\n"; =[]{}.-\r\tzones0', max_size=200))
@example(b"id,url\na,rtsp://h/1")
def test_whatever_a_table_holds_ends_in_cameras_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    with contextlib.suppress(ConfigError):
        load_with(tmp_path_factory.mktemp("csv"), {"cameras.csv": content})


def test_a_large_file_without_aliases_is_not_taken_for_one_that_unfolds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsm_monitor.config.document._MAX_UNFOLDED_NODES", 0)
    main = "cameras:\n" + "".join(f"  c{i}: {{url: rtsp://h/1}}\n" for i in range(100))
    assert len(load_with(tmp_path, csv("a,rtsp://h/1,,"), cameras=main).config.cameras) == 101


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cameras.csv").touch(mode=0o000)
    (line,) = problems(tmp_path, {})
    assert "cameras.csv: cannot read" in line


def test_the_digest_changes_with_every_file(tmp_path: Path) -> None:
    digests = {
        load_with(tmp_path, csv("a,rtsp://h/1,,")).digest,
        load_with(tmp_path, csv("a,rtsp://h/2,,")).digest,
        load_with(tmp_path, csv("a,rtsp://h/1,,"), cameras="# a comment\n").digest,
    }
    assert len(digests) == 3


def test_hundreds_of_problems_are_told_as_a_hundred_and_a_count(tmp_path: Path) -> None:
    found = problems(tmp_path, csv(*(f"c{i},rtsp://h/1,nowhere," for i in range(500))))
    assert len(found) == 101
    assert found[-1] == "... and 400 problems more"


def test_five_thousand_cameras_are_read_in_seconds(tmp_path: Path) -> None:
    rows = (f'c{i},rtsp://h/{i},tunnel,5,"{ZONE}"' for i in range(5_000))
    files = csv(*rows, head="id,url,group,interval_s,zones.lane.points")
    started_s = time.process_time()
    loaded = load_with(tmp_path, files)
    assert time.process_time() - started_s < 5.0  # 0.5 s on an idle core
    assert len(loaded.config.cameras) == 5_000


def test_a_text_is_checked_as_if_it_stood_in_its_file_of_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    path = tmp_path / "monitor.yaml"
    path.write_text("version: 1\nsite: s\nmqtt: {host: h}\ninventory: [sub/../sub/more.yaml]\n")
    more = tmp_path / "sub" / "more.yaml"
    more.write_text("cameras: {a: {url: rtsp://h/1}}\n")
    loaded = load(path, {}, texts={more: "cameras:\n  b: {url: rtsp://h/2}\n"})
    assert list(loaded.config.cameras) == ["b"]
    assert loaded.file_of("b") == more
    with pytest.raises(ConfigError, match=r"sub/more.yaml:1: cameras: must be a mapping"):
        load(path, {}, texts={more: "cameras: 1\n"})
