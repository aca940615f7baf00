"""Services that live together: started in one order, stopped in the other.

The stages are given from the end of the data flow to its beginning. So the publisher is there
before the first event, and at a stop it goes last: what was decided still gets out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.supervisor import RestartPolicy, Service, supervise
from lsm_monitor.runtime.systemd import Notifier

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """Services that start and stop together, and when each is given up."""

    services: Sequence[Service]
    policy: RestartPolicy = field(default_factory=RestartPolicy)


async def run_services(
    stages: Sequence[Stage],
    *,
    stop: asyncio.Event,
    notifier: Notifier,
    progress: Progress,
    metrics: Metrics,
    clock: Clock,
) -> None:
    """Run all services, supervised, until ``stop`` is set; then stop them stage by stage.

    A service that ends by itself is done and not missed: a video file is over.

    Args:
        stages: Started in this order, stopped in the reverse order.
        stop: Ends the run.
        notifier: Told about the stop and, while work moves, that we are alive.
        progress: Says whether work moves.
        metrics: Counts restarts.
        clock: Monotonic time.

    Raises:
        LsmMonitorError: What a service could not recover from; all others are stopped first.
    """
    watchdog = asyncio.create_task(
        _feed_watchdog(notifier, progress, metrics, clock), name="watchdog"
    )
    stopped = asyncio.create_task(stop.wait(), name="stop")

    def start(service: Service, policy: RestartPolicy) -> asyncio.Task[None]:
        run = supervise(service, policy, clock, metrics)
        return asyncio.create_task(run, name=service.name)

    running = [[start(service, stage.policy) for service in stage.services] for stage in stages]
    try:
        await _until_stopped(stopped, [task for tasks in running for task in tasks])
    finally:
        notifier.stopping()
        watchdog.cancel()
        stopped.cancel()
        for tasks in reversed(running):
            await _cancel(tasks)


async def _until_stopped(
    stopped: asyncio.Task[bool], services: list[asyncio.Task[None]]
) -> None:
    """Return when ``stopped`` is done; raise what a service raises."""
    waiting: set[asyncio.Task[None]] = set(services)
    while not stopped.done():
        done, _ = await asyncio.wait([stopped, *waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in waiting & done:
            task.result()
            logger.info("%s is done", task.get_name())
        waiting -= done


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for task, result in zip(tasks, results, strict=True):
        if isinstance(result, Exception):
            logger.warning("%s failed while stopping: %s", task.get_name(), result)


async def _feed_watchdog(
    notifier: Notifier, progress: Progress, metrics: Metrics, clock: Clock
) -> None:
    """Feed systemd's watchdog twice per period, but only while every hop moves."""
    if notifier.watchdog_s is None:
        return
    while True:
        still = progress.standing_still()
        if still:
            logger.error("no progress in %s; not feeding the watchdog", ", ".join(still))
        else:
            notifier.alive()
            metrics.watchdog_feeds.inc()
        await clock.sleep(notifier.watchdog_s / 2)
