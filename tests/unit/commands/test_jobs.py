"""Work in real processes, with workers that need no model."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lsm_monitor.commands.jobs import work_on
from lsm_monitor.errors import BundleError, InferenceError

PATHS = [Path(str(number)) for number in range(5)]


class Squarer:
    """Tells a number, and returns its square and the process that did it."""

    def work(
        self, path: Path, tell: Callable[[int], None], should_stop: Callable[[], bool]
    ) -> tuple[int, int]:
        assert not should_stop()
        if path.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        tell(int(path.name))
        return int(path.name) ** 2, os.getpid()

    def close(self) -> None:
        pass


def open_squarer(threads: int | None) -> Squarer:
    assert threads is None or threads >= 1
    return Squarer()


def open_nothing(threads: int | None) -> Squarer:
    msg = f"no bundle for {threads} threads"
    raise BundleError(msg)


def run(paths: list[Path], jobs: int) -> tuple[dict[int, int], dict[int, int], set[int]]:
    """Return what was told and what came of each file, and by which processes."""
    told: dict[int, int] = {}
    done = dict(
        work_on(
            paths, open_squarer, jobs=jobs, on_news=told.__setitem__, should_stop=lambda: False
        )
    )
    return (
        told,
        {i: square for i, (square, _) in done.items()},
        {pid for _, pid in done.values()},
    )


def test_one_job_works_here_and_several_in_processes_of_their_own() -> None:
    here = run(PATHS, jobs=1)
    elsewhere = run(PATHS, jobs=2)
    assert here[:2] == elsewhere[:2] == ({n: n for n in range(5)}, {n: n * n for n in range(5)})
    assert here[2] == {os.getpid()}
    assert os.getpid() not in elsewhere[2]


def test_a_process_that_is_killed_is_told_and_not_waited_for() -> None:
    with pytest.raises(InferenceError, match=r"died \(exit code -9\); out of memory\?"):
        run([Path("deadly"), *PATHS], jobs=2)


def test_what_stops_all_the_work_comes_from_the_process_as_it_was_raised() -> None:
    with pytest.raises(BundleError, match="no bundle for"):
        list(
            work_on(
                PATHS,
                open_nothing,
                jobs=2,
                on_news=lambda _index, _news: None,
                should_stop=lambda: False,
            )
        )


def test_a_stop_leaves_out_what_was_not_begun() -> None:
    done: list[int] = []
    for index, _ in work_on(
        PATHS,
        open_squarer,
        jobs=1,
        on_news=lambda _index, _news: None,
        should_stop=lambda: len(done) >= 2,
    ):
        done.append(index)
    assert done == [0, 1]
