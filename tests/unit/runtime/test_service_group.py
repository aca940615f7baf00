from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lsm_monitor.errors import ConfigError
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.service_group import Stage, run_services
from lsm_monitor.runtime.systemd import Notifier
from tests.fakes import FakeClock


class Recorder:
    """A service that notes when it starts and stops."""

    def __init__(self, name: str, log: list[str], body: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._log = log
        self._body = body

    async def run(self) -> None:
        self._log.append(f"+{self.name}")
        try:
            await self._body()
        finally:
            self._log.append(f"-{self.name}")


async def for_ever() -> None:
    await asyncio.Event().wait()


async def run(stages: list[list[Recorder]], stop: asyncio.Event) -> None:
    clock = FakeClock()
    await run_services(
        [Stage(stage) for stage in stages],
        stop=stop,
        notifier=Notifier({}),
        progress=Progress(clock, deadline_s=1.0),
        metrics=Metrics(),
        clock=clock,
    )


def test_services_stop_in_the_reverse_order_of_their_stages() -> None:
    log: list[str] = []

    async def main() -> None:
        stop = asyncio.Event()

        async def stop_all() -> None:
            stop.set()
            await for_ever()

        await run(
            [
                [Recorder("publisher", log, for_ever)],
                [Recorder("inference", log, for_ever)],
                [Recorder("camera", log, stop_all)],
            ],
            stop,
        )

    asyncio.run(main())
    assert log == ["+publisher", "+inference", "+camera", "-camera", "-inference", "-publisher"]


def test_a_service_that_is_done_is_not_missed() -> None:
    log: list[str] = []

    async def main() -> None:
        stop = asyncio.Event()

        async def done_at_once() -> None:
            asyncio.get_running_loop().call_soon(stop.set)

        await run([[Recorder("b", log, for_ever)], [Recorder("file", log, done_at_once)]], stop)

    asyncio.run(main())
    assert log[-1] == "-b"


def test_what_cannot_be_recovered_stops_everything_and_is_raised() -> None:
    log: list[str] = []

    async def misconfigured() -> None:
        msg = "no such device"
        raise ConfigError(msg)

    async def main() -> None:
        await run(
            [[Recorder("a", log, for_ever)], [Recorder("b", log, misconfigured)]],
            asyncio.Event(),
        )

    with pytest.raises(ConfigError, match="no such device"):
        asyncio.run(main())
    assert log == ["+a", "+b", "-b", "-a"]
