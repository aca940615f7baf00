"""The shipped unit, as systemd itself reads it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "lsm-monitor.service"
ANALYZE = shutil.which("systemd-analyze")

pytestmark = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not there: apt-get install systemd"
)


def analyze(*arguments: str) -> str:
    assert ANALYZE is not None
    command = [ANALYZE, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return result.stdout + result.stderr


def test_the_unit_is_valid_but_for_the_program_that_is_not_installed_here(
    tmp_path: Path,
) -> None:
    text = UNIT.read_text().replace("/opt/lsm-monitor/.venv/bin/lsm-monitor", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    assert analyze("verify", str(tmp_path / UNIT.name)) == ""


def test_the_unit_is_hardened() -> None:
    output = analyze("security", "--offline=true", str(UNIT))
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", output)
    assert exposure is not None, output
    assert float(exposure[1]) <= 1.7
