from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lsm_monitor.commands import service
from lsm_monitor.commands.service import (
    DEFAULT_CONFIG,
    install,
    next_steps,
    python_warning,
    service_files,
)
from lsm_monitor.errors import StoreError

PROGRAMS = Path("/srv/lsm/bin")


def test_the_files_name_this_installation_and_no_other() -> None:
    files = service_files(gpu=False, programs=PROGRAMS, config=Path("/srv/lsm/my.yaml"))
    by_name = {str(file.path): file.text for file in files}
    unit = by_name["etc/systemd/system/lsm-monitor.service"]
    assert "ExecStart=/srv/lsm/bin/lsm-monitor run --config /srv/lsm/my.yaml\n" in unit
    assert "ExecReload=/srv/lsm/bin/lsm-monitor check /srv/lsm/my.yaml\n" in unit
    assert all("/opt/lsm-monitor/.venv" not in text for text in by_name.values())
    assert "etc/sysusers.d/lsm-monitor.conf" in by_name
    assert "etc/tmpfiles.d/lsm-monitor.conf" in by_name
    assert "etc/systemd/system/lsm-engine-build.service" in by_name


def test_units_name_the_link_of_the_package_and_not_the_environment_of_this_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An upgrade of the package makes another environment, and deletes this one.
    programs = tmp_path / "venv-K3y8s1Qz" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / ".venv").symlink_to("venv-K3y8s1Qz")
    monkeypatch.setattr(service, "PROGRAM_FOLDER", tmp_path / ".venv" / "bin")
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    assert service.this_program_folder() == tmp_path / ".venv" / "bin"


def test_a_program_elsewhere_is_named_by_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    assert service.this_program_folder() == tmp_path / "bin"


def test_a_machine_gets_one_daemon_unit() -> None:
    for gpu, unit in ((True, "lsm-monitor-gpu.service"), (False, "lsm-monitor.service")):
        names = {
            f.path.name
            for f in service_files(gpu=gpu, programs=PROGRAMS, config=DEFAULT_CONFIG)
        }
        assert names & {"lsm-monitor.service", "lsm-monitor-gpu.service"} == {unit}


def test_install_writes_what_print_shows(tmp_path: Path) -> None:
    files = service_files(gpu=True, programs=PROGRAMS, config=DEFAULT_CONFIG)
    written = install(files, tmp_path)
    assert [path.read_text() for path in written] == [file.text for file in files]
    assert written[0] == tmp_path / "etc/systemd/system/lsm-monitor-gpu.service"


def test_what_comes_next_makes_the_file_that_the_service_runs_on(tmp_path: Path) -> None:
    told = next_steps(gpu=True, programs=PROGRAMS, config=DEFAULT_CONFIG, root=tmp_path)
    accounts, copy, edit, check, start = (line.strip() for line in told.splitlines())
    assert accounts == "now: systemd-sysusers && systemd-tmpfiles --create"
    *command, example, config = copy.split()
    assert command == ["install", "-m", "640", "-g", "lsm-monitor"]
    assert "version: 1" in Path(example).read_text()
    assert config == str(DEFAULT_CONFIG)
    assert edit == f"editor {DEFAULT_CONFIG}"
    assert check == f"/srv/lsm/bin/lsm-monitor check {DEFAULT_CONFIG}"
    assert start == "systemctl daemon-reload && systemctl enable --now lsm-monitor-gpu"


def test_a_file_that_is_there_is_not_to_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "etc/lsm-monitor").mkdir(parents=True)
    (tmp_path / "etc/lsm-monitor/monitor.yaml").touch()
    told = next_steps(gpu=False, programs=PROGRAMS, config=DEFAULT_CONFIG, root=tmp_path)
    assert "install -m" not in told


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    files = service_files(gpu=False, programs=PROGRAMS, config=DEFAULT_CONFIG)
    with pytest.raises(StoreError, match="run as root"):
        install(files, tmp_path)


@pytest.mark.parametrize(
    ("programs", "config", "why"),
    [
        ("/home/ann/.venv/bin", "/etc/x.yaml", "hide from the service"),
        ("/opt/x/bin", "/root/x.yaml", "hide from the service"),
        ("/opt/x/bin", "x.yaml", "not an absolute path"),
        ("/opt/my app/bin", "/etc/x.yaml", "systemd would read"),
        ("/opt/x/bin", "/etc/100%.yaml", "systemd would read"),
    ],
)
def test_a_path_that_a_service_cannot_use_is_refused(
    programs: str, config: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        service_files(gpu=False, programs=Path(programs), config=Path(config))


def test_a_python_that_the_units_hide_is_warned_of(tmp_path: Path) -> None:
    assert python_warning(Path("/usr")) is None
    (tmp_path / "python").symlink_to("/home/ann/.pyenv/versions/3.11.7")
    for folder, hidden in (
        (Path("/root/.local/share/uv/python/cpython-3.11"), "/root"),
        (tmp_path / "python", "/home"),
    ):
        warning = python_warning(folder)
        assert warning is not None
        assert f"the Python in {folder}, and the units hide {hidden} " in warning


def test_a_link_into_a_home_folder_is_refused_as_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "bin").symlink_to("/home/ann/.venv/bin")
    with pytest.raises(ValueError, match="lies in /home, which the units hide"):
        service_files(gpu=False, programs=tmp_path / "bin", config=DEFAULT_CONFIG)
