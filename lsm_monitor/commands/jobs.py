"""The same work on many files, in as many processes as are wanted.

Each process opens its worker once (a model takes seconds) and takes one file after the other.
One job runs in this process, so that it needs no second model. Interrupts are this process's
affair: the others finish the picture they are at when they are told to stop, and hand back
what they have.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from lsm_monitor.errors import InferenceError, LsmMonitorError

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
N = TypeVar("N")
N_co = TypeVar("N_co", covariant=True)

_POLL_S = 0.2
_MESSAGES_PER_JOB = 64


class Worker(Protocol[R_co, N_co]):
    """Does the work on one file after the other."""

    def work(
        self, path: Path, tell: Callable[[N_co], None], should_stop: Callable[[], bool]
    ) -> R_co:
        """Return what came of ``path``; of the part before ``should_stop`` said so.

        ``tell`` takes news on the way. Results and news can be sent to another process.
        Whatever is wrong with the file is part of the result: only what stops all the work is
        raised, as an :class:`LsmMonitorError`.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class OpenWorker(Protocol[R_co, N_co]):
    """Makes a worker; can be sent to another process."""

    def __call__(self, threads: int | None) -> Worker[R_co, N_co]:
        """Return a worker for so many CPU threads; ``None`` leaves the choice to it."""
        ...


@dataclass(frozen=True, slots=True)
class _Told(Generic[N]):
    index: int
    news: N


@dataclass(frozen=True, slots=True)
class _Done(Generic[R]):
    index: int
    result: R


_Message = _Told[N] | _Done[R] | LsmMonitorError


def default_jobs(files: int) -> int:
    """Return how many jobs suit ``files`` on this machine: each has a model in memory."""
    return max(1, min(files, len(os.sched_getaffinity(0)), 4))


def work_on(
    paths: Sequence[Path],
    open_worker: OpenWorker[R, N],
    *,
    jobs: int,
    on_news: Callable[[int, N], None],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, R]]:
    """Yield the number of each file and what came of it, as soon as it is known.

    Args:
        paths: The files. Those not begun when ``should_stop`` says so are left out.
        open_worker: Makes the worker of each process.
        jobs: How many processes; 1 is this one.
        on_news: Told the number of a file and what its worker told.
        should_stop: Asked all the time.

    Raises:
        LsmMonitorError: A worker cannot work at all, or its process died.
    """
    jobs = min(jobs, len(paths))
    if jobs > 1:
        yield from _work_in_processes(paths, open_worker, jobs, on_news, should_stop)
        return
    with contextlib.closing(open_worker(None)) as worker:
        for index, path in enumerate(paths):
            if should_stop():
                return
            tell = functools.partial(on_news, index)
            yield index, worker.work(path, tell, should_stop)


def _work_in_processes(
    paths: Sequence[Path],
    open_worker: OpenWorker[R, N],
    jobs: int,
    on_news: Callable[[int, N], None],
    should_stop: Callable[[], bool],
) -> Iterator[tuple[int, R]]:
    context = multiprocessing.get_context("spawn")  # threads and CUDA do not survive a fork
    stop = context.Event()
    files: Queue[tuple[int, Path] | None] = context.Queue(len(paths) + jobs)
    messages: Queue[_Message[N, R]] = context.Queue(jobs * _MESSAGES_PER_JOB)
    for item in (*enumerate(paths), *[None] * jobs):
        files.put(item)
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    processes = [
        context.Process(
            target=_live,
            args=(open_worker, threads, files, messages, stop),
            name=f"job[{number}]",
        )
        for number in range(jobs)
    ]
    try:
        with _ignoring_interrupts():  # inherited: until a process can ignore them itself
            for process in processes:
                process.start()
        for each in _heard(messages, processes, lambda: stop.set() if should_stop() else None):
            if isinstance(each, LsmMonitorError):
                raise each
            if isinstance(each, _Told):
                on_news(each.index, each.news)
            else:
                yield each.index, each.result
    finally:
        stop.set()
        for process in processes:
            process.terminate()
            process.join()
        files.cancel_join_thread()


def _heard(
    messages: Queue[_Message[N, R]],
    processes: Sequence[SpawnProcess],
    on_turn: Callable[[], None],
) -> Iterator[_Message[N, R]]:
    """Yield everything that the processes say until all of them are done."""
    while True:
        on_turn()
        are_done = not any(process.is_alive() for process in processes)
        try:
            yield messages.get(timeout=0.0 if are_done else _POLL_S)
        except queue.Empty:
            died = [process for process in processes if process.exitcode]
            if died:
                msg = (
                    f"{died[0].name} died (exit code {died[0].exitcode}); out of memory? Try "
                    "fewer --jobs"
                )
                raise InferenceError(msg) from None
            if are_done:
                return


def _live(
    open_worker: OpenWorker[R, N],
    threads: int,
    files: Queue[tuple[int, Path] | None],
    messages: Queue[_Message[N, R]],
    stop: Event,
) -> None:
    """Be one of the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - it has started us

    def should_stop() -> bool:
        return stop.is_set() or not parent.is_alive()

    def say(message: _Message[N, R]) -> None:
        while parent.is_alive():
            with contextlib.suppress(queue.Full):
                messages.put(message, timeout=_POLL_S)
                return
        messages.cancel_join_thread()  # it was killed: nobody will ever read

    try:
        with contextlib.closing(open_worker(threads)) as worker:
            while (item := files.get()) is not None and not should_stop():
                index, path = item

                def tell(told: N, index: int = index) -> None:
                    say(_Told(index, told))

                say(_Done(index, worker.work(path, tell, should_stop)))
    except LsmMonitorError as exc:
        say(exc)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
