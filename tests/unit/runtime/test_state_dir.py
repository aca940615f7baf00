from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lsm_monitor.errors import StoreError
from lsm_monitor.runtime.state_dir import locked, resolve


def test_what_is_configured_wins_over_systemd() -> None:
    assert resolve(Path("/a"), {"STATE_DIRECTORY": "/b"}) == Path("/a")
    assert resolve(None, {"STATE_DIRECTORY": "/b:/c"}) == Path("/b")


def test_a_user_gets_a_folder_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert resolve(None, {"XDG_STATE_HOME": "/home/u/s"}) == Path("/home/u/s/lsm-monitor")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert resolve(None, {}) == Path("/var/lib/lsm-monitor")


def test_a_second_daemon_is_refused_and_the_first_ones_end_frees_the_folder(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "state"
    with (
        locked(folder),
        pytest.raises(StoreError, match="another lsm-monitor uses this state folder"),
    ):
        locked(folder).__enter__()
    with locked(folder):
        pass


def test_a_killed_daemon_leaves_no_lock_behind(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from lsm_monitor.runtime.state_dir import locked;"
        "locked(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == -9  # noqa: S603 - our own code
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/state: .*set 'state_dir'"):
        locked(tmp_path / "file" / "state").__enter__()
