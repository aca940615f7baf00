from __future__ import annotations

import asyncio
import threading

import pytest

from lsm_monitor.runtime.threads import ThreadService


def test_a_cancelled_service_stops_its_thread_before_it_returns() -> None:
    entered, left = threading.Event(), threading.Event()

    def body(stop: threading.Event) -> None:
        entered.set()
        stop.wait(30)
        left.set()

    async def main() -> None:
        service = ThreadService("worker", body, stop_timeout_s=10)
        task = asyncio.create_task(service.run())
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set()

    asyncio.run(main())


def test_what_the_thread_raises_the_service_raises() -> None:
    def body(_stop: threading.Event) -> None:
        msg = "broken"
        raise ValueError(msg)

    faults: list[str] = []
    service = ThreadService(
        "worker", body, stop_timeout_s=1, on_fault=lambda: faults.append("told")
    )
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(service.run())
    assert faults == ["told"]


def test_the_thread_carries_the_name_of_the_service() -> None:
    names: list[str] = []

    def body(_stop: threading.Event) -> None:
        names.append(threading.current_thread().name)

    asyncio.run(ThreadService("camera[bridge]", body, stop_timeout_s=1).run())
    assert names == ["camera[bridge]"]


def test_a_thread_that_ignores_the_stop_is_left_behind_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, release = threading.Event(), threading.Event()

    def body(_stop: threading.Event) -> None:
        entered.set()
        release.wait(30)

    async def main() -> None:
        task = asyncio.create_task(ThreadService("stuck", body, stop_timeout_s=0.05).run())
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(main())
    assert "stuck did not stop" in caplog.text
