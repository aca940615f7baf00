"""The Debian package, built and installed by Debian's own tools into a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        shutil.which("dpkg-deb") is None, reason="this is no Debian: no dpkg-deb"
    ),
]


def run(
    *command: str | Path, environ: dict[str, str] | None = None, folder: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | (environ or {}),
    )


def build(out: Path, *arguments: str | Path) -> Path:
    epoch = {"SOURCE_DATE_EPOCH": "1790000000"}  # a release without git
    result = run(ROOT / "scripts/build-deb", "--out", out, *arguments, environ=epoch)
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deb"))


def test_the_package_has_the_program_the_units_and_nothing_of_this_machine(
    package: Path, tmp_path: Path
) -> None:
    listing = run("dpkg-deb", "--contents", package).stdout
    for path in (
        "./etc/lsm-monitor/monitor.yaml",
        "./etc/default/lsm-monitor",
        "./lib/systemd/system/lsm-monitor.service",
        "./lib/systemd/system/lsm-monitor-gpu.service",
        "./lib/systemd/system/lsm-engine-build.service",
        "./usr/lib/sysusers.d/lsm-monitor.conf",
        "./usr/lib/tmpfiles.d/lsm-monitor.conf",
        "./usr/lib/lsm-monitor/make-venv",
        "./usr/share/lsm-monitor/constraints.txt",
        "./usr/share/lsm-monitor/lsm_monitor-",
        "./usr/share/doc/lsm-monitor/docs/grafana/lsm-monitor.json",
        "./usr/share/doc/lsm-monitor/docs/img/page-wall.webp",
    ):
        assert path in listing
    assert all(line.split()[1] == "root/root" for line in listing.splitlines())
    run("dpkg-deb", "--raw-extract", package, tmp_path / "tree")
    assert str(ROOT) not in run("grep", "-rl", str(ROOT), tmp_path / "tree").stdout
    sums = run("md5sum", "--check", "--quiet", "DEBIAN/md5sums", folder=tmp_path / "tree")
    assert sums.returncode == 0


def test_every_link_between_the_documents_leads_to_one_that_is_in_the_package(
    package: Path, tmp_path: Path
) -> None:
    run("dpkg-deb", "--extract", package, tmp_path)
    documents = list((tmp_path / "usr/share/doc/lsm-monitor").rglob("*.md"))
    assert any(document.parent.name == "adr" for document in documents)
    dangling = [
        (document.name, target)
        for document in documents
        for target in re.findall(r"\]\(([^):#]+)[)#]", document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert dangling == []


def test_the_same_source_gives_the_same_bytes(package: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == package.read_bytes()


@pytest.mark.skipif(shutil.which("lintian") is None, reason="apt-get install lintian")
def test_lintian_has_no_objection(package: Path) -> None:
    result = run("lintian", "--fail-on", "error,warning", package)
    assert result.returncode == 0, result.stdout


def test_a_wheelhouse_goes_into_the_package(tmp_path: Path) -> None:
    (tmp_path / "a-1-py3-none-any.whl").write_bytes(b"wheel")
    package = build(tmp_path, "--wheelhouse", tmp_path)
    assert "./usr/share/lsm-monitor/wheelhouse/a-1-py3-none-any.whl" in (
        run("dpkg-deb", "--contents", package).stdout
    )
    assert run("dpkg-deb", "--field", package, "Architecture").stdout.strip() != "all"


class Machine:
    """A folder that dpkg takes for a machine's root; nothing outside it is touched."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        (self.root / "var/lib/dpkg/info").mkdir(parents=True)
        (self.root / "var/lib/dpkg/updates").mkdir()
        (self.root / "var/lib/dpkg/status").touch()
        # The libraries come from this environment and not from the network.
        libraries = folder / "libraries"
        libraries.mkdir()
        for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if not path.name.startswith(("lsm_monitor", "_lsm_monitor", "__editable__")):
                (libraries / path.name).symlink_to(path)
        self.environ = {
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PYTHONPATH": str(libraries),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def dpkg(
        self, *arguments: str | Path, environ: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run(
            "dpkg",
            f"--root={self.root}",
            "--force-script-chrootless,depends,not-root",
            *arguments,
            environ=self.environ | (environ or {}),
        )

    def version(self) -> str:
        program = self.root / "opt/lsm-monitor/.venv/bin/lsm-monitor"
        return run(program, "version", environ=self.environ).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="dpkg gives files to root: run as root")
@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="apt-get install systemd")
def test_dpkg_installs_upgrades_removes_and_purges_it(package: Path, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    installed = machine.dpkg("--install", package)
    assert installed.returncode == 0, installed.stderr
    assert "systemctl enable --now lsm-monitor" in installed.stdout
    assert machine.version().startswith("lsm-monitor ")
    assert "lsm-monitor" in (machine.root / "etc/passwd").read_text()
    first = (machine.root / "opt/lsm-monitor/.venv").readlink()

    # What the operator wrote survives an upgrade; the environment is a new one.
    yaml = machine.root / "etc/lsm-monitor/monitor.yaml"
    yaml.write_text("version: 1\n# mine\n")
    assert machine.dpkg("--install", package).returncode == 0
    assert yaml.read_text() == "version: 1\n# mine\n"
    second = (machine.root / "opt/lsm-monitor/.venv").readlink()
    assert second != first
    assert [p.name for p in (machine.root / "opt/lsm-monitor").glob("venv-*")] == [second.name]

    # An upgrade whose libraries cannot be had leaves the running version as it is.
    without_libraries = {"PIP_NO_DEPS": "0", "PYTHONPATH": ""}
    failed = machine.dpkg("--install", package, environ=without_libraries)
    assert failed.returncode != 0
    assert "/etc/default/lsm-monitor" in failed.stderr
    assert (machine.root / "opt/lsm-monitor/.venv").readlink() == second
    assert machine.dpkg("--configure", "lsm-monitor").returncode == 0
    assert machine.version().startswith("lsm-monitor ")

    state = machine.root / "var/lib/lsm-monitor"
    state.mkdir(parents=True)
    (state / "outbox.sqlite3").touch()
    assert machine.dpkg("--remove", "lsm-monitor").returncode == 0
    assert not (machine.root / "opt/lsm-monitor").exists()
    assert yaml.exists()
    assert (state / "outbox.sqlite3").exists()
    assert machine.dpkg("--purge", "lsm-monitor").returncode == 0
    assert not yaml.exists()
    assert not state.exists()
