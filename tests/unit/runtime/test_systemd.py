from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from lsm_engines.plans import PlanKey, PlanStore
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.systemd import Notifier
from tests.fakes import FakeClock


def test_messages_reach_the_service_manager(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        notifier = Notifier({"NOTIFY_SOCKET": address})
        notifier.status("2 cameras\nREADY=1")
        notifier.ready()
        notifier.alive()
        notifier.stopping()
        received = [manager.recv(4096) for _ in range(4)]
    assert received == [b"STATUS=2 cameras READY=1", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_plan_that_is_being_built_extends_the_time_to_start(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30.0)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        received: list[bytes] = []

        def build(path: Path) -> None:
            received.extend(manager.recv(4096) for _ in range(3))
            path.touch()

        key = PlanKey("encoder", "tensorrt", {})
        store = PlanStore(tmp_path, notifier.extend_timeout, progress_every_s=0.01)
        store.obtain(key, build)
    first = f"STATUS=building plan {key.name}\nEXTEND_TIMEOUT_USEC=60000000"
    assert received[0] == first.encode()
    again = rf"STATUS=building plan {key.name}, \d+ s\nEXTEND_TIMEOUT_USEC=60000000"
    assert all(re.fullmatch(again, message.decode()) for message in received[1:])


def test_a_status_cannot_smuggle_another_assignment(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.extend_timeout("building\nREADY=1", extend_s=1.5)
        assert manager.recv(4096) == b"STATUS=building READY=1\nEXTEND_TIMEOUT_USEC=1500000"


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel picks an abstract name
        name = manager.getsockname().decode()
        Notifier({"NOTIFY_SOCKET": "@" + name[1:]}).ready()
        assert manager.recv(64) == b"READY=1"


def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_s is None


def test_a_manager_that_is_gone_costs_a_warning_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot notify systemd" in caplog.text


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_only_when_it_is_ours(
    environ: dict[str, str], expected: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/n", **environ}).watchdog_s == expected


def test_a_hop_without_a_beat_stands_still_and_is_named(clock: FakeClock) -> None:
    progress = Progress(clock, deadline_s=10.0)
    progress.beat("inference")
    progress.beat("mqtt")
    clock.now_s += 9.0
    progress.beat("mqtt")
    assert progress.standing_still() == []
    clock.now_s += 2.0
    assert progress.standing_still() == ["inference"]


def test_a_reload_is_announced_with_the_time_systemd_compares(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        before_s = time.clock_gettime(time.CLOCK_MONOTONIC)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        assert manager.recv(4096) == b"READY=1"
        notifier.reloading()
        after_s = time.clock_gettime(time.CLOCK_MONOTONIC)
        message = manager.recv(4096).decode()
    match = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", message)
    assert match is not None
    assert int(before_s * 1e6) <= int(match[1]) <= int(after_s * 1e6)


def test_a_reload_during_the_start_is_a_part_of_the_start(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.reloading()
        notifier.reloaded()
        notifier.ready()
        assert manager.recv(4096) == b"READY=1"
        notifier.reloaded()
        assert manager.recv(4096) == b"READY=1"
        manager.settimeout(0)
        with pytest.raises(BlockingIOError):
            manager.recv(4096)
