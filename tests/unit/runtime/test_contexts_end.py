from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from lsm_monitor.config.changes import Changes, changes
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.publish.commands import SetContext
from lsm_monitor.runtime import live_settings
from lsm_monitor.runtime.cameras import Cameras
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.runtime.overrides import RuntimeOverrides
from tests.fakes import FakeClock

HOUR_S = 3600.0
CONFIG = MonitorConfig.model_validate(
    {"version": 1, "site": "s", "mqtt": {"host": "h"}, "cameras": {"a": {"url": "rtsp://h/1"}}}
)


class Watched:
    """Notes which triggers are on, each time it is told."""

    def __init__(self) -> None:
        self.triggers: list[frozenset[str]] = []
        self.told = asyncio.Event()

    def adopt(self, config: MonitorConfig, *, triggers: frozenset[str]) -> Changes:
        self.triggers.append(triggers)
        self.told.set()
        return changes(config, config)


def test_a_context_ends_when_the_clock_is_set_past_its_end_and_not_years_later(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_settings, "_LOOK_AGAIN_S", 0.001, raising=False)
    overrides = RuntimeOverrides.open(tmp_path / "runtime.json", now=clock.now())
    overrides.apply(SetContext("rain", active=True, for_s=HOUR_S), now=clock.now())
    clock.now_s -= 50_000 * HOUR_S  # a machine without a battery starts in the past
    cameras = Watched()
    settings = LiveSettings(
        CONFIG,
        overrides=overrides,
        cameras=cast("Cameras", cameras),
        on_change=lambda _: None,
        clock=clock,
    )

    async def watch_it_end() -> None:
        running = asyncio.create_task(settings.run())
        await cameras.told.wait()
        assert cameras.triggers == [{"rain"}]
        cameras.told.clear()
        clock.now_s += 50_002 * HOUR_S
        try:
            async with asyncio.timeout(5.0):
                await cameras.told.wait()
        finally:
            running.cancel()

    asyncio.run(watch_it_end())
    assert cameras.triggers == [{"rain"}, frozenset()]
