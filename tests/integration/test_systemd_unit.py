"""The shipped units, as systemd itself reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lsm_monitor.commands.service import DEFAULT_CONFIG, install, service_files

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
EXPOSURE_MAX = {
    "lsm-monitor.service": 1.7,
    "lsm-monitor-gpu.service": 2.2,
    "lsm-engine-build.service": 1.7,
}

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not there: apt-get install systemd",
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def test_every_unit_is_known_here() -> None:
    assert {unit.name for unit in UNITS} == EXPOSURE_MAX.keys()


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_what_service_install_writes_is_valid(tmp_path: Path, *, gpu: bool) -> None:
    programs = tmp_path / "bin"
    # systemd checks that the programs are there; their paths are all it looks at.
    files = service_files(gpu=gpu, programs=Path("/srv/lsm/bin"), config=DEFAULT_CONFIG)
    programs.mkdir()
    for name in ("lsm-monitor", "lsm-engines"):
        (programs / name).symlink_to("/bin/true")
    units = [path for path in install(files, tmp_path / "root") if path.suffix == ".service"]
    for unit in units:
        unit.write_text(unit.read_text().replace("/srv/lsm/bin", str(programs)))
    result = run("systemd-analyze", "verify", *map(str, units))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_hardened(unit: Path) -> None:
    threshold = round(10 * EXPOSURE_MAX[unit.name])
    result = run(
        "systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", str(unit)
    )
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
    assert exposure is not None, result.stderr
    assert float(exposure[1]) <= EXPOSURE_MAX[unit.name]
    assert result.returncode == 0


def test_the_account_and_its_folders_are_made(tmp_path: Path) -> None:
    files = service_files(gpu=True, programs=Path("/srv/lsm/bin"), config=DEFAULT_CONFIG)
    install(files, tmp_path)
    (tmp_path / "etc/lsm-monitor").mkdir()
    (tmp_path / "etc/lsm-monitor/monitor.yaml").touch(mode=0o644)
    made = run("systemd-sysusers", f"--root={tmp_path}", "lsm-monitor.conf")
    assert made.returncode == 0, made.stderr
    accounts = (tmp_path / "etc/passwd").read_text()
    assert re.search(r"^lsm-monitor:x:\d+:\d+:.*:/usr/sbin/nologin$", accounts, re.MULTILINE)
    assert {"video", "render"} <= {
        line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()
    }
    made = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", "lsm-monitor.conf")
    if made.returncode != 0 and "Operation not permitted" in made.stderr:
        pytest.skip("only root may give files to other accounts")
    assert made.returncode == 0, made.stderr
    mode = (tmp_path / "etc/lsm-monitor/credentials").stat().st_mode & 0o777
    assert mode == 0o700
    assert (tmp_path / "etc/lsm-monitor/monitor.yaml").stat().st_mode & 0o777 == 0o640
