import asyncio
import threading

import pytest

from lsm_monitor.demo.loop_thread import LoopThread


@pytest.fixture
def thread() -> LoopThread:
    loop_thread = LoopThread("test-loop")
    loop_thread.start()
    return loop_thread


async def _name() -> str:
    return threading.current_thread().name


async def _fail() -> None:
    msg = "on purpose"
    raise LookupError(msg)


def test_coroutines_run_in_the_named_thread(thread: LoopThread) -> None:
    assert thread.call(_name(), timeout_s=5.0) == "test-loop"
    thread.stop()


def test_what_a_coroutine_raises_reaches_the_caller(thread: LoopThread) -> None:
    with pytest.raises(LookupError, match="on purpose"):
        thread.call(_fail(), timeout_s=5.0)
    thread.stop()


def test_a_call_that_takes_too_long_is_cancelled(thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        thread.call(hang(), timeout_s=0.05)
    assert cancelled.wait(5.0)
    thread.stop()


def test_stopping_cancels_what_still_runs_and_ends_the_thread(thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def leave_a_task() -> asyncio.Task[None]:
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        return task

    thread.call(leave_a_task(), timeout_s=5.0)
    thread.stop()
    assert cancelled.is_set()
    assert "test-loop" not in {alive.name for alive in threading.enumerate()}
