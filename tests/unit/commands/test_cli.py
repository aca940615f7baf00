from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lsm_monitor.cli import app, run_guarded
from lsm_monitor.errors import (
    BrokerError,
    BundleError,
    ConfigError,
    InferenceError,
    LsmMonitorError,
    PictureError,
    RestartLimitExceededError,
    SourceOpenError,
    StoreError,
)
from lsm_monitor.types import HealthCode

CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 78),
        (BundleError("x"), 78),
        (SourceOpenError("x", HealthCode.CONNECTION_REFUSED), 69),
        (BrokerError("x"), 69),
        (StoreError("x"), 69),
        (PictureError("x"), 69),
        (InferenceError("x"), 70),
        (RestartLimitExceededError("inference", 20, 600.0), 70),
    ],
)
def test_every_error_on_purpose_has_its_exit_code_and_its_text_on_stderr(
    error: LsmMonitorError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert run_guarded(command) == code
    assert capsys.readouterr().err == f"{error}\n"


def test_typers_own_exits_are_kept() -> None:
    def command() -> None:
        raise SystemExit(2)

    assert run_guarded(command) == 2


def test_check_accepts_the_minimal_configuration() -> None:
    result = CliRunner().invoke(app, ["check", str(CONFIG / "monitor.minimal.yaml")])
    assert result.exit_code == 0
    assert "ok: 1 cameras, model compact" in result.stdout


def test_check_tells_every_problem_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("version: 1\nsite: X\nmqtt: {prt: 1}\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "bad.yaml")])
    assert isinstance(result.exception, ConfigError)
    assert len(str(result.exception).splitlines()) == 4


def test_check_refuses_a_bundle_that_is_not_there(tmp_path: Path) -> None:
    text = (CONFIG / "monitor.minimal.yaml").read_text()
    (tmp_path / "m.yaml").write_text(text + "model: {bundle: compcat}\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "m.yaml")])
    assert isinstance(result.exception, BundleError)
    assert "compact" in str(result.exception)


def test_the_schema_in_the_repository_is_the_one_the_command_prints() -> None:
    printed = json.loads(CliRunner().invoke(app, ["schema"]).stdout)
    assert printed == json.loads((CONFIG / "monitor.schema.json").read_text())


def test_a_fault_of_ours_is_exit_code_70_and_shows_no_secret() -> None:
    code = (
        "import sys; from lsm_monitor import cli;"
        "cli._configure_logs(level='info', fmt='logfmt', secrets=['hunt' + 'er2']);"
        "cli.app.command('fault')(lambda: int('rtsp://u:hunt' + 'er2@cam'));"
        "sys.argv = ['lsm-monitor', 'fault'];"
        "cli.main()"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 70
    assert "fault in lsm-monitor" in result.stderr
    assert "invalid literal for int()" in result.stderr
    assert "hunter2" not in result.stderr


def test_help_does_not_load_the_model_libraries() -> None:
    code = (
        "import sys, lsm_monitor.cli;"
        "sys.exit(bool({'torch', 'av', 'cv2', 'paho.mqtt'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_a_usage_error_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["run"]).exit_code == 2


def test_version_prints_the_version() -> None:
    assert CliRunner().invoke(app, ["version"]).stdout.startswith("lsm-monitor 0.")
    assert isinstance(app, typer.Typer)
