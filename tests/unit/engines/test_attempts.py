from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from lsm_engines.attempts import MAX_DEATHS, Attempts

ENGINES = Path(__file__).parents[3] / "engines"


def die_trying(folder: Path) -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {str(ENGINES)!r})\n"
        "from pathlib import Path\n"
        "from lsm_engines.attempts import Attempts\n"
        f"with Attempts(Path({str(folder)!r})).trying('openvino'):\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    died = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603 - our own code
    assert died.returncode == -signal.SIGKILL


def test_what_killed_the_process_three_times_is_not_tried_again(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for _ in range(MAX_DEATHS):
        assert attempts.find_fault("openvino") is None
        die_trying(tmp_path)
    fault = attempts.find_fault("openvino") or ""
    assert fault.startswith("the process died 3 times while trying it; delete ")
    assert str(tmp_path) in fault
    assert attempts.find_fault("torch") is None


def test_what_ends_without_dying_leaves_no_note(tmp_path: Path) -> None:
    die_trying(tmp_path)
    with Attempts(tmp_path).trying("openvino"):
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_who_is_still_trying_has_not_died(tmp_path: Path) -> None:
    for _ in range(MAX_DEATHS - 1):
        die_trying(tmp_path)
    attempts = Attempts(tmp_path)
    with attempts.trying("openvino"):
        assert attempts.find_fault("openvino") is None
        with attempts.trying("openvino"):
            assert attempts.find_fault("openvino") is None


def test_where_nothing_can_be_written_things_are_tried_without_notes(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file" / "below", tmp_path / "absent"):
        with Attempts(folder).trying("openvino"):
            assert Attempts(folder).find_fault("openvino") is None
