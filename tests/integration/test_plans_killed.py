"""Processes that need the same plan, and processes that die while they make it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsm_engines.plans import PlanStore
from tests.integration.plans_child import KEY

CHILD = Path(__file__).with_name("plans_child.py")
WHOLE = "half of the plan"


@contextmanager
def child(folder: Path, *, stop: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(CHILD), str(folder / "plans"), str(folder / "builds"), stop]
    with subprocess.Popen(  # noqa: S603 - our own script
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    said = []
    for text in process.stdout:
        said.append(text.rstrip("\n"))
        if said[-1] == line:
            return
    pytest.fail(f"the process ended without {line!r}, having said {said}")


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def builds(folder: Path) -> int:
    return len((folder / "builds").read_text().splitlines())


def obtain(folder: Path) -> tuple[str, bool]:
    """Return the plan, and whether it had to be built."""
    built = []

    def build(path: Path) -> None:
        built.append(path)
        path.write_text(WHOLE)

    return PlanStore(folder / "plans").obtain(KEY, build).read_text(), bool(built)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "plans" / KEY.name).iterdir())


@pytest.mark.parametrize("stop", ["build", "1", "2", "3", "4"])
def test_a_builder_that_is_killed_leaves_nothing_that_is_ever_loaded(
    tmp_path: Path, stop: str
) -> None:
    with child(tmp_path, stop=stop) as process:
        wait_for(process, "stopped")
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert "building" in left(tmp_path)
    assert obtain(tmp_path) == (WHOLE, True)
    assert left(tmp_path) == ["lock", "manifest.json", "plan"]


def test_a_builder_that_is_killed_after_its_last_move_has_built_the_plan(
    tmp_path: Path,
) -> None:
    with child(tmp_path, stop="5") as process:
        wait_for(process, "stopped")
        process.send_signal(signal.SIGKILL)
    assert obtain(tmp_path) == (WHOLE, False)


def test_two_processes_that_need_a_plan_at_once_build_it_once(tmp_path: Path) -> None:
    with child(tmp_path, stop="build") as first:
        wait_for(first, "stopped")
        with child(tmp_path) as second:
            wait_for(second, f"another process builds plan {KEY.name}: waiting for it")
            go_on(first)
            wait_for(first, WHOLE)
            wait_for(second, WHOLE)
    assert builds(tmp_path) == 1


def test_whoever_waits_for_a_builder_that_is_killed_builds_the_plan(tmp_path: Path) -> None:
    with child(tmp_path, stop="build") as first:
        wait_for(first, "stopped")
        with child(tmp_path) as second:
            wait_for(second, f"another process builds plan {KEY.name}: waiting for it")
            first.send_signal(signal.SIGKILL)
            wait_for(second, WHOLE)
    assert builds(tmp_path) == 2
    assert left(tmp_path) == ["lock", "manifest.json", "plan"]
