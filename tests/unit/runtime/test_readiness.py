from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.readiness import Readiness
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    HealthCode,
    HealthState,
    WaterLevel,
    WaterState,
    ZoneId,
)

NOW = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE, SCHOOL = CameraId("bridge"), CameraId("school")


class Systemd:
    """Both ends: what the daemon says, and what the service manager heard."""

    def __init__(self, manager: socket.socket, address: Path) -> None:
        self._manager = manager
        self.overview = Overview(Metrics())
        self.overview.watch({BRIDGE: 10.0, SCHOOL: 10.0}, NOW)
        self.notifier = Notifier({"NOTIFY_SOCKET": str(address)})

    def heard(self) -> list[str]:
        self._manager.settimeout(0.0)
        messages: list[str] = []
        while True:
            try:
                messages.append(self._manager.recv(4096).decode())
            except BlockingIOError:
                return messages

    def judge(self, camera_id: CameraId) -> None:
        zone, level = ZoneId("full"), WaterLevel.DRY
        self.overview.on_states([WaterState(camera_id, zone, level, 0.0, 0.9, NOW, NOW)])

    def lose(self, camera_id: CameraId) -> None:
        codes = (HealthCode.OPEN_TIMEOUT,)
        self.overview.on_health(CameraHealth(camera_id, HealthState.OFFLINE, codes, "", NOW, 1))


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        yield Systemd(manager, tmp_path / "notify")


async def started(readiness: Readiness) -> asyncio.Task[None]:
    task = asyncio.create_task(readiness.run())
    await asyncio.sleep(0)  # it runs up to its first wait
    return task


def test_ready_comes_with_the_first_decision_and_not_before(systemd: Systemd) -> None:
    async def scene() -> None:
        task = await started(Readiness(systemd.overview, notifier=systemd.notifier))
        systemd.lose(SCHOOL)
        assert systemd.heard() == ["STATUS=waiting for the first picture"]
        await asyncio.to_thread(systemd.judge, BRIDGE)  # as inference does, from its thread
        await asyncio.wait_for(task, 30.0)

    asyncio.run(scene())
    assert systemd.heard() == ["READY=1", "STATUS=watching 2 cameras, 1 of them judged"]


def test_ready_comes_when_no_camera_can_be_reached(systemd: Systemd) -> None:
    async def scene() -> None:
        task = await started(Readiness(systemd.overview, notifier=systemd.notifier))
        systemd.lose(BRIDGE)
        systemd.lose(SCHOOL)
        await asyncio.wait_for(task, 30.0)

    asyncio.run(scene())
    assert systemd.heard()[1:] == ["READY=1", "STATUS=watching 2 cameras, 0 of them judged"]


def test_ready_comes_after_a_bounded_wait_and_says_for_whom_it_waited(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    readiness = Readiness(systemd.overview, notifier=systemd.notifier, limit_s=0.01)
    asyncio.run(readiness.run())
    assert "READY=1" in systemd.heard()
    assert "bridge, school" in caplog.text


def test_a_stop_before_it_is_ready_tells_systemd_nothing(systemd: Systemd) -> None:
    told: list[str] = []

    async def scene() -> None:
        readiness = Readiness(
            systemd.overview, notifier=systemd.notifier, on_ready=lambda: told.append("ready")
        )
        task = await started(readiness)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert systemd.heard() == ["STATUS=waiting for the first picture"]
    assert told == []
    systemd.judge(BRIDGE)  # the listener outlives its loop
