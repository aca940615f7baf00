"""What works in a shell, where systemd's credentials are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lsm_monitor.cli import app
from lsm_monitor.commands import replay_many
from lsm_monitor.config.loader import load
from lsm_monitor.engines_cli import app as engines_app
from lsm_monitor.errors import ConfigError
from lsm_monitor.history.history import HISTORY_FILE
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from tests.unit.history.scenes import Recorder, state

CONFIG = """
version: 1
site: hz-west
state_dir: state
mqtt: {host: broker, username: lsm, password: "${cred:mqtt}"}
http: {metrics_token: "${cred:token}"}
cap: {sender: flood@city.example}
model: {backend: torch}
cameras: {bridge: {url: "rtsp://192.0.2.1/1", username: ann, password: "${cred:camera}"}}
"""


@pytest.fixture(autouse=True)
def _shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """Return the file of a daemon that has a history and an outbox."""
    path = tmp_path / "monitor.yaml"
    path.write_text(CONFIG)
    outbox = Outbox.open(tmp_path / "state" / OUTBOX_FILE, now=datetime.now(UTC))
    Recorder(tmp_path / "state" / HISTORY_FILE).see(state(0, 0.0))
    yield path
    outbox.close()


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.parametrize(
    "command",
    [
        "outbox ls",
        "outbox dead",
        "outbox purge --yes",
        "events ls",
        "events feedback",
        "events export --json",
        "events export --cap",
        "history export street",
    ],
)
def test_what_is_stored_is_read_without_the_credentials(
    config: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(config.parent)
    result = run(*command.split(), "--config", config)
    assert (result.exit_code, result.exception) == (0, None), result.output


def test_video_is_replayed_without_the_credentials(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_many, "replay_videos", lambda *_args, **_options: True)
    result = run("replay", config, "--config", config)
    assert (result.exit_code, result.exception) == (0, None), result.output


def test_engines_are_built_without_the_credentials(config: Path) -> None:
    config.write_text(CONFIG.replace("backend: torch", "bundle: compcat"))
    result = CliRunner().invoke(engines_app, ["build", "--config", str(config)])
    assert "compcat" in str(result.exception)


def test_a_check_in_a_shell_says_which_credentials_it_could_not_look_at(config: Path) -> None:
    result = run("check", config)
    assert (result.exit_code, result.exception) == (0, None), result.output
    assert "not looked at: ${cred:camera}, ${cred:mqtt}, ${cred:token}" in result.stdout


def test_a_check_by_the_service_needs_its_credentials(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(config.parent))
    result = run("check", config)
    assert isinstance(result.exception, ConfigError)
    assert "mqtt.password" in str(result.exception)


def test_what_opens_a_camera_needs_the_credentials(config: Path, tmp_path: Path) -> None:
    for command in (
        ("check", config, "--probe"),
        ("snapshot", "bridge", "--config", config, "--out", tmp_path / "p.jpg"),
    ):
        result = run(*command)
        assert isinstance(result.exception, ConfigError)
        assert "$CREDENTIALS_DIRECTORY is not set" in str(result.exception)


def test_a_check_in_a_shell_still_misses_a_variable_of_the_environment(config: Path) -> None:
    config.write_text(CONFIG.replace("${cred:mqtt}", "${env:LSM_NOT_THERE}"))
    result = run("check", config)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).count("\n") == 0
    assert "LSM_NOT_THERE is not set" in str(result.exception)


def test_a_state_folder_that_is_not_named_is_not_guessed(config: Path) -> None:
    config.write_text(CONFIG.replace("state_dir: state", "state_dir: ${env:LSM_NOT_THERE}"))
    result = run("outbox", "ls", "--config", config)
    assert "LSM_NOT_THERE is not set" in str(result.exception)


def test_a_short_reference_is_no_short_token(config: Path) -> None:
    token = load(config, {}, needs_secrets=False).config.http.metrics_token
    assert token is not None
    assert token.get_secret_value() == "${cred:token}"
