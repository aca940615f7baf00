"""A reload goes on to its end, alone, whatever becomes of who asked for it."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsm_monitor.config.changes import Changes, changes
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.errors import ConfigError
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.runtime.systemd import Notifier
from tests.fakes import FakeClock

CONFIG = "version: 1\nsite: west\nmqtt: {host: h}\ncameras:\n"
BRIDGE, QUAY = "  bridge: {url: rtsp://192.0.2.1/s}\n", "  quay: {url: rtsp://192.0.2.2/s}\n"
LANE = "  lane: {url: rtsp://192.0.2.3/s}\n"
WAIT_S = 10.0


class Reloads:
    """A reloader whose preparation takes until the test opens ``gate``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "monitor.yaml"
        self.path.write_text(CONFIG + BRIDGE)
        self.told = asyncio.Event()
        self.begun, self.gate = threading.Event(), threading.Event()
        self.log: list[str | None] = []
        self.metrics = Metrics()
        self.problem = ""
        loaded = load(self.path, {})
        self._config = loaded.config
        self.reloader = Reloader(
            loaded,
            environ={},
            prepare=self._prepare,
            adopt=self._adopt,
            on_result=self._tell,
            notifier=Notifier({}),
            metrics=self.metrics,
            clock=FakeClock(),
        )

    def _prepare(self, _: LoadedConfig) -> None:
        self.log.append("prepares")
        self.begun.set()
        assert self.gate.wait(WAIT_S)
        self.log.append("is ready")

    def _adopt(self, loaded: LoadedConfig) -> Changes:
        if self.problem:
            raise RuntimeError(self.problem)
        self.log.append("adopted")
        before, self._config = self._config, loaded.config
        return changes(before, loaded.config)

    def _tell(self, problem: str | None) -> None:
        self.log.append(problem or "told")
        self.told.set()

    async def cameras_told(self) -> list[str]:
        """Return the cameras in use after the next reload was told."""
        await asyncio.wait_for(self.told.wait(), WAIT_S)
        self.told.clear()
        return list(self.reloader.loaded.config.cameras)

    async def begin(self) -> asyncio.Task[str]:
        """Ask for a reload; return who waits for it, once it prepares."""
        asker = asyncio.create_task(self.reloader.reload())
        assert await asyncio.to_thread(self.begun.wait, WAIT_S)
        self.begun.clear()
        return asker


@pytest.fixture
def reloads(tmp_path: Path) -> Iterator[Reloads]:
    reloads = Reloads(tmp_path)
    reloads.path.write_text(CONFIG + BRIDGE + QUAY)
    yield reloads
    reloads.gate.set()  # or the thread would outlive a test that failed


async def give_up(asker: asyncio.Task[Any]) -> None:
    asker.cancel()
    await asyncio.wait([asker], timeout=WAIT_S)
    assert asker.cancelled()


async def finish(reloads: Reloads) -> None:
    """Let what was begun come to its end."""
    reloads.gate.set()
    begun = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*begun, return_exceptions=True), WAIT_S)


def test_a_reload_is_taken_over_after_who_asked_has_stopped_waiting(reloads: Reloads) -> None:
    async def act() -> None:
        await give_up(await reloads.begin())
        await finish(reloads)

    asyncio.run(act())
    assert reloads.log == ["prepares", "is ready", "adopted", "told"]
    assert list(reloads.reloader.loaded.config.cameras) == ["bridge", "quay"]
    assert reloads.metrics.snapshot()["lsm_config_last_reload_successful"] == 1


def test_a_reload_waits_for_the_one_before_even_when_nobody_waits_for_that(
    reloads: Reloads,
) -> None:
    async def act() -> None:
        await give_up(await reloads.begin())
        second = asyncio.create_task(reloads.reloader.reload())
        # Time enough to prepare beside the first, if that were possible.
        await asyncio.wait([second], timeout=0.3)
        reloads.gate.set()
        assert await asyncio.wait_for(second, WAIT_S) == "no changes"

    asyncio.run(act())
    once = ["prepares", "is ready", "adopted", "told"]
    assert reloads.log == [*once, *once]


def test_what_is_wrong_with_the_files_is_told_to_who_waits_and_reported_once(
    reloads: Reloads,
) -> None:
    reloads.path.write_text("version: 1\nsite: west\n")

    async def act() -> None:
        with pytest.raises(ConfigError, match="cameras"):
            await reloads.reloader.reload()

    asyncio.run(act())
    (told,) = reloads.log
    assert told is not None
    assert "cameras" in told


def test_a_fault_of_ours_in_a_reload_that_nobody_waits_for_is_in_the_log(
    reloads: Reloads, caplog: pytest.LogCaptureFixture
) -> None:
    reloads.problem = "a fault of ours"

    async def act() -> None:
        await give_up(await reloads.begin())
        await finish(reloads)

    asyncio.run(act())
    assert "a reload failed that nobody waited for" in caplog.text
    assert "a fault of ours" in caplog.text


def test_a_stop_of_the_daemon_ends_a_reload_and_tells_who_waits(reloads: Reloads) -> None:
    async def act() -> None:
        service = asyncio.create_task(reloads.reloader.run())
        asker = await reloads.begin()
        service.cancel()
        await asyncio.wait([service], timeout=WAIT_S)
        assert service.cancelled()
        with pytest.raises(ConfigError, match="the daemon is being stopped"):
            await asyncio.wait_for(asker, WAIT_S)
        assert len(asyncio.all_tasks()) == 1
        reloads.gate.set()

    asyncio.run(act())
    assert "adopted" not in reloads.log


def test_what_was_saved_while_the_daemon_started_is_taken_over(reloads: Reloads) -> None:
    reloads.gate.set()

    async def act() -> None:
        service = asyncio.create_task(reloads.reloader.run())
        assert await reloads.cameras_told() == ["bridge", "quay"]
        await give_up(service)

    asyncio.run(act())


@pytest.mark.parametrize("old_is_removed", [True, False], ids=["kubernetes", "ln -sfn"])
def test_a_link_that_leads_to_another_folder_is_a_change_of_the_file(
    tmp_path: Path, *, old_is_removed: bool
) -> None:
    for name, cameras in (("one", BRIDGE), ("two", BRIDGE + LANE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "monitor.yaml").write_text(CONFIG + cameras)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "monitor.yaml").symlink_to("data/monitor.yaml")
    reloads = Reloads(tmp_path)
    reloads.gate.set()

    async def act() -> None:
        service = asyncio.create_task(reloads.reloader.run())
        reloads.path.write_text(CONFIG + BRIDGE + QUAY)
        assert await reloads.cameras_told() == ["bridge", "quay"]  # it is watched from now on
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(tmp_path / "data")
        if old_is_removed:
            shutil.rmtree(tmp_path / "one")
        assert await reloads.cameras_told() == ["bridge", "lane"]
        await give_up(service)

    asyncio.run(act())
