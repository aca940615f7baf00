from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lsm_monitor.capture.greed import LAST_NICE, Greed

is_last_already = pytest.mark.skipif(
    os.getpriority(os.PRIO_PROCESS, 0) >= LAST_NICE, reason="runs at the last priority itself"
)


@contextmanager
def thread(*, spins: bool) -> Iterator[int]:
    """Run a thread that spins, or sleeps; yield its id."""
    stop = threading.Event()

    def live() -> None:
        while spins and not stop.is_set():
            pass
        stop.wait()

    running = threading.Thread(target=live)
    running.start()
    try:
        yield running.native_id or 0
    finally:
        stop.set()
        running.join()


def wait_for_cpu(thread_id: int, seconds: float) -> None:
    """Return when the thread has spent so much of a core's time."""
    schedstat, pause = Path(f"/proc/self/task/{thread_id}/schedstat"), threading.Event()

    def spent_s() -> float:
        return int(schedstat.read_text().split()[0]) / 1e9

    until_s = spent_s() + seconds
    while spent_s() < until_s:
        pause.wait(0.005)


@is_last_already
def test_a_thread_that_keeps_a_core_busy_twice_in_succession_goes_behind_all_others() -> None:
    with thread(spins=True) as thread_id:
        greed = Greed(thread_id)
        assert not greed.look(0.0)
        wait_for_cpu(thread_id, 0.1)
        assert not greed.look(0.1)
        wait_for_cpu(thread_id, 0.1)
        assert greed.look(0.2)
        assert os.getpriority(os.PRIO_PROCESS, thread_id) == LAST_NICE
        assert os.getpriority(os.PRIO_PROCESS, 0) < LAST_NICE  # this one stays where it is
        assert not greed.look(0.3)  # told once
        assert greed.is_last


def test_one_busy_second_is_a_backlog_and_no_greed() -> None:
    with thread(spins=True) as thread_id:
        greed = Greed(thread_id)
        greed.look(0.0)
        wait_for_cpu(thread_id, 0.1)
        assert not greed.look(0.1)
        assert not greed.look(1e6)  # hardly anything since
        wait_for_cpu(thread_id, 0.1)
        assert not greed.look(1e6 + 0.1)
        assert not greed.is_last


@is_last_already
def test_three_that_share_a_core_are_greedy_each() -> None:
    core, stop = min(os.sched_getaffinity(0)), threading.Event()

    def live() -> None:
        os.sched_setaffinity(0, {core})  # of this thread
        while not stop.is_set():
            hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)  # without Python's lock

    threads = [threading.Thread(target=live) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        greed = Greed(threads[0].native_id or 0)
        while not greed.look(time.monotonic()):
            wait_for_cpu(threads[0].native_id or 0, 0.1)
    finally:
        stop.set()
        for each in threads:
            each.join()


def test_a_thread_that_waits_and_one_that_is_gone_are_left_alone() -> None:
    with thread(spins=False) as thread_id:
        greed = Greed(thread_id)
        assert not any(greed.look(float(second)) for second in range(5))
    assert not any(greed.look(float(second)) for second in range(5, 10))
