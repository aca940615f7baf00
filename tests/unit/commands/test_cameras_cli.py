from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.commands.camera_edit import add_camera
from lsm_monitor.config import edit
from lsm_monitor.errors import ConfigError

TEXT = """\
version: 1
site: west
mqtt: {host: localhost, username: lsm, password: "${cred:not-here}"}   # the broker
groups:
  tunnel: {mode: triggered, trigger: rain, stale_after_s: 1h}
inventory: [cameras.csv]
cameras:
  # the oldest one
  bridge:
    url: rtsp://192.0.2.1/1?token=geheim
    username: admin
    password: hunter2
    zones: {lane-1: {points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "cameras.csv").write_text(
        "id,url,group,enabled\nlane,rtsp://192.0.2.2/1,tunnel,\nold,rtsp://192.0.2.3/1,,no\n"
    )
    path = tmp_path / "monitor.yaml"
    path.write_text(TEXT)
    return path


def run(*arguments: str, config: Path) -> Result:
    return CliRunner().invoke(app, ["cameras", *arguments, "--config", str(config)])


def test_cameras_are_listed_as_they_are_after_groups_and_inventory(config: Path) -> None:
    lines = run("ls", config=config).stdout.splitlines()
    assert [line.split("\t") for line in lines] == [
        ["camera", "group", "mode", "every", "fast", "source", "zones", "enabled", "place"],
        [
            *("bridge", "-", "continuous", "10 s", "3.33 s", "rtsp://192.0.2.1/1"),
            *("lane-1", "yes", "monitor.yaml:9"),
        ],
        [
            *("lane", "tunnel", "triggered", "900 s", "3.33 s", "rtsp://192.0.2.2/1"),
            *("full", "yes", "cameras.csv:2"),
        ],
        [
            *("old", "-", "continuous", "10 s", "3.33 s", "rtsp://192.0.2.3/1"),
            *("full", "no", "cameras.csv:3"),
        ],
    ]


def test_the_list_is_json_for_programs_and_free_of_credentials(config: Path) -> None:
    result = run("ls", "--json", config=config)
    first = json.loads(result.stdout.splitlines()[0])
    assert first["camera"] == "bridge"
    assert first["zones"] == ["lane-1"]
    assert first["source"] == "rtsp://192.0.2.1/1"
    assert "hunter2" not in result.stdout
    assert "geheim" not in result.stdout


def test_a_camera_is_added_with_everything_it_was_given(config: Path) -> None:
    secret = config.parent / "password.txt"
    secret.write_text("s3cret\n")
    result = run(
        *("add", "north", "rtsp://192.0.2.9/1", "--group", "tunnel", "--interval", "30s"),
        *("--username", "u", "--password-file", str(secret), "--mode", "patrol"),
        *("--zone", "kerb=0.1,0.9 0.5,0.4 0.9,0.9"),
        config=config,
    )
    assert result.exit_code == 0
    added = (
        "  north:\n"
        "    url: rtsp://192.0.2.9/1\n"
        "    username: u\n"
        f"    password: ${{file:{secret}}}\n"
        "    group: tunnel\n"
        "    mode: patrol\n"
        "    interval_s: 30s\n"
        "    zones:\n"
        "      kerb:\n"
        "        points: [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]\n"
    )
    assert config.read_text() == TEXT + added
    assert [f"  {line[3:]}" for line in result.stdout.splitlines() if line[:2] == "+ "] == (
        added.splitlines()
    )
    assert "hunter2" not in result.stdout  # it stands in the lines around
    assert run("rm", "north", config=config).exit_code == 0
    assert config.read_text() == TEXT


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lane", "rtsp://192.0.2.9/1"], "cameras.csv:2: cameras.lane: is already given in"),
        (["bridge", "rtsp://192.0.2.9/1"], "camera 'bridge' is already there"),
        (["North", "rtsp://192.0.2.9/1"], "monitor.yaml:14: cameras.North: must match"),
        (["n", "rtsp://u:s3cret@192.0.2.9/1"], "monitor.yaml:15: cameras.n.url: write user"),
        (["n", "rtsp://h/1", "--group", "tunnl"], "did you mean 'tunnel'?"),
        (["n", "rtsp://h/1", "--interval", "often"], "'often' is not a duration"),
        (["n", "rtsp://h/1", "--zone", "a=1,2 3,4"], "a zone needs at least 3 corners"),
    ],
)
def test_a_camera_that_would_not_be_valid_changes_nothing(
    config: Path, arguments: list[str], expected: str
) -> None:
    result = run("add", *arguments, config=config)
    assert isinstance(result.exception, ConfigError)
    assert expected in str(result.exception)
    assert "s3cret" not in str(result.exception)
    assert config.read_text() == TEXT


@pytest.mark.parametrize("zone", ["a", "a=", "=0,0 1,1 1,0", "a=0;0"])
def test_a_zone_that_cannot_be_read_is_a_usage_error(config: Path, zone: str) -> None:
    result = run("add", "n", "rtsp://h/1", "--zone", zone, config=config)
    assert result.exit_code == 2
    assert config.read_text() == TEXT


def test_a_dry_run_shows_the_difference_and_changes_nothing(config: Path) -> None:
    result = run("add", "n", "rtsp://192.0.2.9/1", "--dry-run", config=config)
    assert "+    url: rtsp://192.0.2.9/1" in result.stdout
    result = run("rm", "bridge", "--dry-run", config=config)
    assert "-    url: rtsp://192.0.2.1/1" in result.stdout
    assert "hunter2" not in result.stdout
    assert config.read_text() == TEXT


def test_a_password_from_stdin_gets_a_file_that_only_the_files_readers_may_read(
    config: Path,
) -> None:
    config.chmod(0o644)
    command = [sys.executable, "-m", "lsm_monitor", "cameras", "add", "n", "rtsp://h/1"]
    options = ["--username", "u", "--password-file", "-", "--config", str(config)]
    result = subprocess.run(  # noqa: S603
        [*command, *options], input="s3cret\n", text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "s3cret" not in result.stdout
    secret = config.parent / "passwords" / "n"
    assert secret.read_text() == "s3cret"
    assert secret.stat().st_mode & 0o777 == 0o640
    assert secret.parent.stat().st_mode & 0o007 == 0
    assert "    password: ${file:passwords/n}\n" in config.read_text()


def test_a_password_is_not_written_where_only_root_may_look(config: Path) -> None:
    tmpfiles = Path(__file__).parents[3] / "systemd" / "lsm-monitor.tmpfiles.conf"
    closed = set(
        re.findall(r"^d /etc/lsm-monitor/(\S+) 0700 root", tmpfiles.read_text(), re.MULTILINE)
    )
    assert closed == {"credentials"}
    add_camera(
        config,
        os.environ,
        "n",
        {"url": "rtsp://h/1", "username": "u"},
        password=SecretStr("s3cret"),
    )
    written = (path.parent for path in config.parent.rglob("n"))
    assert closed.isdisjoint(folder.name for folder in written)


def test_a_strict_umask_does_not_shut_the_service_out_of_the_passwords(config: Path) -> None:
    before = os.umask(0o077)
    try:
        add_camera(
            config,
            os.environ,
            "n",
            {"url": "rtsp://h/1", "username": "u"},
            password=SecretStr("s3cret"),
        )
    finally:
        os.umask(before)
    assert (config.parent / "passwords").stat().st_mode & 0o777 == 0o750


def test_a_failed_write_leaves_no_password_behind(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError

    monkeypatch.setattr(edit, "replace_text", refuse)
    with pytest.raises(ConfigError):
        add_camera(
            config,
            os.environ,
            "n",
            {"url": "rtsp://h/1", "username": "u"},
            password=SecretStr("s3cret"),
        )
    assert list((config.parent / "passwords").iterdir()) == []


def test_a_camera_of_the_inventory_is_removed_where_it_stands(config: Path) -> None:
    result = run("rm", "lane", config=config)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        "cameras.csv:2: camera 'lane' stands in the inventory; remove it there"
    )


def test_testing_needs_cameras_and_knows_their_names(config: Path) -> None:
    assert run("test", config=config).exit_code == 2
    for name, hint in (("brige", "did you mean bridge?"), ("x", "see: lsm-monitor cameras ls")):
        result = run("test", "bridge", name, config=config)
        assert isinstance(result.exception, ConfigError)
        assert str(result.exception) == f"there is no camera {name!r}; {hint}"


def test_a_camera_cannot_be_tested_without_its_password(config: Path) -> None:
    config.write_text(TEXT.replace("hunter2", "${env:NO_SUCH}"))
    result = run("test", "bridge", config=config)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        "monitor.yaml:9: cameras.bridge.password: environment variable NO_SUCH is not set"
    )


def test_probe_reads_a_password_from_stdin() -> None:
    command = [sys.executable, "-m", "lsm_monitor", "probe", "rtsp://127.0.0.1:1/x"]
    result = subprocess.run(  # noqa: S603
        [*command, "--username", "u", "--password-file", "-"],
        input="s3cret\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.returncode == 69
    assert "connection refused" in result.stderr


def test_a_zone_that_is_given_twice_is_a_usage_error(config: Path) -> None:
    square, triangle = "lane=0,0 1,0 1,1 0,1", "lane=0,0 1,0 0,1"
    result = run("add", "n", "rtsp://h/1", "--zone", square, "--zone", triangle, config=config)
    assert result.exit_code == 2
    assert "zone 'lane' is given twice" in result.output
    assert config.read_text() == TEXT


def test_the_last_camera_stays_and_the_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "version: 1\nsite: a\nmqtt: {host: h}\ncameras:\n  n:\n    url: rtsp://h/1\n"
    )
    result = run("rm", "n", config=path)
    assert isinstance(result.exception, ConfigError)
    assert "'n' is the only camera" in str(result.exception)
