from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.errors import ConfigError

HEAD = "version: 1\nsite: west\nmqtt: {host: localhost}\n"
ONE_CAMERA = HEAD + "cameras:\n  bridge:\n    url: rtsp://192.0.2.1/1\n"


def load_text(tmp_path: Path, text: str, **environ: str) -> LoadedConfig:
    path = tmp_path / "monitor.yaml"
    path.write_text(text)
    return load(path, environ)


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_text(tmp_path, text, **environ)
    return str(error.value).splitlines()


def test_all_problems_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    text = ONE_CAMERA + (
        "    intervals: 5\n"
        "    levels:\n"
        "      ponding: {enter: 0.1, leave: 0.2}\n"
        "    zones:\n"
        "      lane: {points: [[0, 0], [640, 0], [640, 480]]}\n"
    )
    assert problems(tmp_path, text) == [
        "monitor.yaml:7: cameras.bridge.intervals: unknown key; did you mean 'interval_s'?",
        (
            "monitor.yaml:9: cameras.bridge.levels.ponding: 'leave' (0.2) must be below "
            "'enter' (0.1), or the level would flap; try leave: 0.06"
        ),
        (
            "monitor.yaml:11: cameras.bridge.zones.lane.points: corner [640, 0] lies outside "
            "the picture; coordinates run from 0 to 1: divide pixels by the picture's width "
            "and height"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "monitor.yaml:1: the file must be a mapping", id="empty"),
        pytest.param("- a\n", "monitor.yaml:1: the file must be a mapping", id="a-list"),
        pytest.param("a: [1\n", "monitor.yaml:2: not valid YAML", id="broken"),
        pytest.param("a: \x01\n", "monitor.yaml:1: not valid YAML", id="control-character"),
        pytest.param(
            HEAD + "cameras: {}\n",
            "monitor.yaml:4: cameras: Dictionary should have at least 1 item",
            id="no-cameras",
        ),
        pytest.param(HEAD, "monitor.yaml:1: cameras: is missing", id="cameras-missing"),
        pytest.param(
            ONE_CAMERA.replace("version: 1", "version: 2"),
            "monitor.yaml:1: version: Input should be 1",
            id="newer-format",
        ),
        pytest.param(
            ONE_CAMERA + "  bridge: {url: rtsp://192.0.2.2/1}\n",
            "monitor.yaml:7: cameras.bridge: is already given in line 5; remove one",
            id="camera-twice",
        ),
        pytest.param(
            ONE_CAMERA + "    interval_s: fast\n",
            "monitor.yaml:7: cameras.bridge.interval_s: 'fast' is not a duration; write",
            id="duration",
        ),
        pytest.param(
            ONE_CAMERA + "    min_frames: 9\n",
            "monitor.yaml:5: cameras.bridge: 'min_frames' (9) must not exceed 'of_frames' (5)",
            id="m-of-n",
        ),
        pytest.param(
            ONE_CAMERA + "    interval_s: 5m\n",
            "monitor.yaml:5: cameras.bridge: 'stale_after_s' (120) must be at least twice",
            id="stale-between-two-pictures",
        ),
        pytest.param(
            ONE_CAMERA.replace("localhost", "localhost, password: ${env:A}"),
            "monitor.yaml:3: not valid YAML: expected ',' or '}', but got '{'; inside",
            id="reference-in-flow-style",
        ),
        pytest.param(
            ONE_CAMERA.replace("rtsp://192.0.2.1/1", "rtsp://u:hunter2@192.0.2.1/1"),
            "monitor.yaml:6: cameras.bridge.url: write user and password as",
            id="credentials-in-url",
        ),
        pytest.param(
            ONE_CAMERA.replace("rtsp://", "rtmp://"),
            "monitor.yaml:6: cameras.bridge.url: scheme 'rtmp' is not supported",
            id="scheme",
        ),
        pytest.param(
            ONE_CAMERA + "    evidence_url: rtsp://u:hunter2@192.0.2.1/2\n",
            "monitor.yaml:7: cameras.bridge.evidence_url: write user and password as",
            id="credentials-in-evidence-url",
        ),
        pytest.param(
            ONE_CAMERA + "    tls_ca_file: camera.pem\n",
            "monitor.yaml:5: cameras.bridge: 'tls_ca_file' is set, but nothing is checked",
            id="authority-unused",
        ),
        pytest.param(
            ONE_CAMERA + "    hwaccel: gpu\n",
            "monitor.yaml:7: cameras.bridge.hwaccel: ",
            id="unknown-device",
        ),
        pytest.param(
            ONE_CAMERA.replace("192.0.2.1", "192.0.2.1:99999"),
            "monitor.yaml:6: cameras.bridge.url: is not a valid address",
            id="port",
        ),
        pytest.param(
            ONE_CAMERA.replace("bridge", "Bridge 1"),
            "monitor.yaml:5: cameras.Bridge 1: must match",
            id="camera-id",
        ),
        pytest.param(
            ONE_CAMERA + "    zones: {a: {points: [[0, 0], [1, 1], [1, 0], [0, 1]]}}\n",
            "monitor.yaml:7: cameras.bridge.zones.a.points: the outline crosses or touches",
            id="bow-tie",
        ),
        pytest.param(
            ONE_CAMERA + "    zones: {a: {points: [[0, 0], [0.5, 0.5], [1, 1]]}}\n",
            "monitor.yaml:7: cameras.bridge.zones.a.points: the corners lie in one line",
            id="no-area",
        ),
        pytest.param(
            ONE_CAMERA + f"    zones: {{a: {{points: {[[0.5, 0.5]] * 501}}}}}\n",
            "monitor.yaml:7: cameras.bridge.zones.a.points: a zone has at most 500 corners",
            id="too-many-corners",
        ),
        pytest.param(
            ONE_CAMERA + "    zones: {a: {points: [[0, 0], [1, 1]]}}\n",
            "monitor.yaml:7: cameras.bridge.zones.a.points: a zone needs at least 3 corners",
            id="two-corners",
        ),
        pytest.param(
            ONE_CAMERA + "    password: x\n",
            "monitor.yaml:5: cameras.bridge: 'password' is set without 'username'",
            id="password-alone",
        ),
        pytest.param(
            ONE_CAMERA + "    open_for_s: &a [*a]\n",
            "monitor.yaml:7: an alias refers to itself",
            id="recursive-alias",
        ),
        pytest.param(
            ONE_CAMERA + "    interval_s: !!timestamp x\n",
            "monitor.yaml:7: cameras.bridge.interval_s: is not what !!timestamp stands for",
            id="no-timestamp",
        ),
        pytest.param(
            ONE_CAMERA + "    enabled: !!bool x\n",
            "monitor.yaml:7: cameras.bridge.enabled: is not what !!bool stands for",
            id="no-bool",
        ),
        pytest.param(
            ONE_CAMERA + "    min_frames: !!int ''\n",
            "monitor.yaml:7: cameras.bridge.min_frames: is not what !!int stands for",
            id="no-int",
        ),
        pytest.param(
            ONE_CAMERA + "    <<: {interval_s: 3}\n",
            "monitor.yaml:7: cameras.bridge: keys must be plain words; merge keys (<<)",
            id="merge-key",
        ),
    ],
)
def test_each_problem_names_its_line_and_the_way_out(
    tmp_path: Path, text: str, expected: str
) -> None:
    (line,) = problems(tmp_path, text)
    assert line.startswith(expected)
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "url",
    ["rtsp://lsm:12/hunter2@h/1", "rtsp://lsm:12#hunter2@h/1", "lsm:hunter2@192.0.2.1/1"],
)
def test_a_login_that_reads_as_another_host_or_as_a_path_is_refused(
    tmp_path: Path, url: str
) -> None:
    text = ONE_CAMERA.replace("rtsp://192.0.2.1/1", url)
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("monitor.yaml:6: cameras.bridge.url: write user and password as")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("evidence: {clip_mb: yes}\n", "evidence.clip_mb"),
        ("store: {readings: {raw_hours: on}}\n", "store.readings.raw_hours"),
        ("defaults: {interval_s: true}\n", "defaults.interval_s"),
        ("profiles: {night: {min_frames: yes}}\n", "profiles.night.min_frames"),
    ],
)
def test_yes_is_no_number(tmp_path: Path, section: str, key: str) -> None:
    (problem,) = problems(tmp_path, section + ONE_CAMERA)
    assert problem == (
        f"monitor.yaml:1: {key}: must be a number, and not yes or no (on, off, true, false)"
    )


def test_a_password_in_the_brokers_host_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = (
        "version: 1\nsite: s\nmqtt: {host: 'lsm:s3cret@broker'}\ncameras: {a: {url: x.mp4}}\n"
    )
    (problem,) = problems(tmp_path, text)
    assert "'username'" in problem
    assert "s3cret" not in problem


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot read .*No such file"):
        load(tmp_path / "nowhere.yaml", {})


def test_a_file_that_is_not_text_says_which_byte(tmp_path: Path) -> None:
    path = tmp_path / "monitor.yaml"
    path.write_bytes(b"version: 1\nsite: \xff\n")
    with pytest.raises(ConfigError, match=r"monitor.yaml:2: not UTF-8 text \(byte 0xff\)"):
        load(path, {})


def test_aliases_cannot_unfold_without_end(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
    )
    with pytest.raises(ConfigError, match="unfolds without end"):
        load_text(tmp_path, bomb)


@pytest.mark.parametrize("depth", [*range(50, 1050, 50), 100_000])
@pytest.mark.parametrize("brackets", ["[]", "{}", "[}"])
def test_a_file_of_brackets_is_refused_and_ends_nothing(
    tmp_path: Path, depth: int, brackets: str
) -> None:
    opening = {"[": "[", "{": "{a: "}[brackets[0]]
    (line, *_) = problems(tmp_path, f"a: {opening * depth}{brackets[1] * depth}\n")
    assert line.startswith("monitor.yaml:1: ")


def test_a_camera_overrides_the_defaults_key_by_key(tmp_path: Path) -> None:
    text = HEAD + (
        "defaults:\n"
        "  interval_s: 5m\n"
        "  stale_after_s: 15m\n"
        "  levels: {flooded: {enter: 0.3, leave: 0.2}}\n"
        "cameras:\n"
        "  a: {url: rtsp://192.0.2.1/1}\n"
        "  b:\n"
        "    url: rtsp://192.0.2.1/2\n"
        "    interval_s: 2\n"
        "    levels: {wet: {enter: 0.03, leave: 0.01}}\n"
    )
    cameras = load_text(tmp_path, text).config.cameras
    assert cameras["a"].interval_s == 300.0
    assert cameras["b"].interval_s == 2.0
    assert cameras["b"].levels.flooded.enter == 0.3
    assert cameras["b"].levels.wet.enter == 0.03


def test_a_mistake_in_defaults_is_reported_once_and_there(tmp_path: Path) -> None:
    text = ONE_CAMERA + "defaults:\n  interval_s: -1\n"
    (line,) = problems(tmp_path, text)
    assert line.startswith("monitor.yaml:8: defaults.interval_s: ")


def test_a_relative_path_starts_at_the_configuration_file(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, ONE_CAMERA.replace("rtsp://192.0.2.1/1", "clips/a.mp4"))
    assert loaded.config.cameras["bridge"].url == str(tmp_path / "clips/a.mp4")


def test_every_shipped_configuration_is_valid() -> None:
    files = sorted((Path(__file__).parents[3] / "config").glob("monitor*.yaml"))
    assert [file.name for file in files] == ["monitor.example.yaml", "monitor.minimal.yaml"]
    environ = {"LSM_MQTT_PASSWORD": "x", "LSM_CAMERA_PASSWORD": "x"}
    assert all(load(file, environ).config.cameras for file in files)


def test_the_example_has_every_key_of_the_schema() -> None:
    text = (Path(__file__).parents[3] / "config" / "monitor.example.yaml").read_text()
    schema = MonitorConfig.model_json_schema()
    keys = {
        key
        for section in [schema, *schema["$defs"].values()]
        for key in section.get("properties", {})
    }
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()


def test_the_minimal_configuration_has_at_most_12_lines() -> None:
    path = Path(__file__).parents[3] / "config" / "monitor.minimal.yaml"
    assert len(path.read_text().splitlines()) <= 12


YAML_WORDS = """version: 1 site west mqtt host localhost cameras bridge url rtsp://a/b
interval_s zones points 0.5 -1 true null { } [ ] , : - & * ! | > ' " # % ${env:A}"""
yaml_words = st.sampled_from([*YAML_WORDS.split(), "\n", "\n  ", "\t"])


@given(st.lists(yaml_words, max_size=40))
@example([])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_whatever_is_typed_ends_in_a_configuration_or_a_config_error(
    tmp_path: Path, words: list[str]
) -> None:
    with contextlib.suppress(ConfigError):
        load_text(tmp_path, ONE_CAMERA + " ".join(words))


@pytest.mark.parametrize(
    "url",
    ["rtsps://192.0.2.1/1", "http://192.0.2.1/a.jpg", "https://cam/v.m3u8", "v4l2:/dev/video0"],
)
def test_an_address_or_device_is_taken_as_it_is(tmp_path: Path, url: str) -> None:
    loaded = load_text(tmp_path, ONE_CAMERA.replace("rtsp://192.0.2.1/1", url))
    assert loaded.config.cameras["bridge"].url == url


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104
def test_a_port_that_others_could_reach_is_refused_as_long_as_there_is_no_login(
    tmp_path: Path, host: str
) -> None:
    (problem,) = problems(tmp_path, ONE_CAMERA + f'http: {{host: "{host}"}}\n')
    assert problem.startswith(f"monitor.yaml:7: http: 'host' ({host}) is not this machine's")
    assert "users_file" in problem


@pytest.mark.parametrize("host", ["monitor.example", ""])
def test_a_port_listens_on_an_address_and_not_on_a_name(tmp_path: Path, host: str) -> None:
    (problem,) = problems(tmp_path, ONE_CAMERA + f'http: {{host: "{host}"}}\n')
    assert problem.startswith(f"monitor.yaml:7: http.host: {host!r} is not an address; write")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_loopback_however_it_is_written(tmp_path: Path, host: str) -> None:
    config = load_text(tmp_path, ONE_CAMERA + f'http: {{host: "{host}"}}\n').config
    assert config.http.host == host


@pytest.mark.parametrize(
    "line", ["http: {allowed_hosts: ['https://flood.example']}", "cap: {sender: 'a city'}"]
)
def test_lower_case_is_the_remedy_for_names_alone(tmp_path: Path, line: str) -> None:
    (problem,) = problems(tmp_path, ONE_CAMERA + line + "\n")
    assert "must match ^" in problem
    assert "lower case" not in problem
