from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lsm_monitor.errors import (
    BundleError,
    ConfigError,
    LsmMonitorError,
    RestartLimitExceededError,
    StoreError,
)
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.supervisor import RestartPolicy, supervise
from tests.fakes import FakeClock

POLICY = RestartPolicy(backoff_s=1.0, backoff_max_s=8.0, healthy_after_s=300.0, limit=6)


class Flaky:
    """Fails ``failures`` times, then returns."""

    name = "camera[bridge]"

    def __init__(self, failures: int, on_run: Callable[[], None] = lambda: None) -> None:
        self.left = failures
        self.on_run = on_run

    async def run(self) -> None:
        self.on_run()
        self.left -= 1
        if self.left >= 0:
            msg = "disk is on fire"
            raise StoreError(msg)


def test_waits_grow_and_then_stay_at_the_ceiling(clock: FakeClock) -> None:
    asyncio.run(supervise(Flaky(5), POLICY, clock, Metrics()))
    ceilings = [1.0, 2.0, 4.0, 8.0, 8.0]
    assert all(c / 2 <= w <= c for w, c in zip(clock.sleeps, ceilings, strict=True))


def test_a_long_healthy_run_forgives_earlier_failures(clock: FakeClock) -> None:
    def run_for_ten_minutes() -> None:
        clock.now_s += 600.0

    asyncio.run(supervise(Flaky(20, run_for_ten_minutes), POLICY, clock, Metrics()))
    assert max(clock.sleeps) <= 1.0


def test_too_many_failures_end_the_process_and_name_the_service(clock: FakeClock) -> None:
    with pytest.raises(RestartLimitExceededError, match=r"'camera\[bridge\]' failed 6 times"):
        asyncio.run(supervise(Flaky(99), POLICY, clock, Metrics()))


def test_a_service_without_a_limit_is_never_given_up(clock: FakeClock) -> None:
    policy = RestartPolicy(backoff_s=1.0, backoff_max_s=8.0, limit=None)
    asyncio.run(supervise(Flaky(200), policy, clock, Metrics()))
    assert len(clock.sleeps) == 200


def test_every_restart_is_counted(clock: FakeClock) -> None:
    metrics = Metrics()
    asyncio.run(supervise(Flaky(3), POLICY, clock, metrics))
    assert metrics.snapshot()['lsm_service_restarts_total{service="camera[bridge]"}'] == 3.0


@pytest.mark.parametrize("error", [ConfigError, BundleError])
def test_what_an_operator_must_mend_is_never_retried(
    clock: FakeClock, error: type[LsmMonitorError]
) -> None:
    class Misconfigured:
        name = "mqtt"

        async def run(self) -> None:
            raise error

    with pytest.raises(error):
        asyncio.run(supervise(Misconfigured(), POLICY, clock, Metrics()))
    assert clock.sleeps == []
