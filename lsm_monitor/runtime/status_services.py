"""The services that tell others how the daemon is; none of them may end the watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastapi import FastAPI

import lsm_monitor
from lsm_monitor.clock import Clock
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_app import Status, http_app
from lsm_monitor.runtime.memory import watch_memory
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.types import ModelIdentity


def status_services(
    config: MonitorConfig,
    *,
    model: Callable[[], ModelIdentity],
    device: Callable[[], str],
    overview: Overview,
    standing_still: Callable[[], list[str]],
    is_durable: Callable[[], bool],
    extend: Callable[[FastAPI], None] = lambda _: None,
    metrics: Metrics,
    clock: Clock,
) -> Iterator[Service]:
    """Yield the services, and fill the gauges that hardly ever change.

    Args:
        config: What was loaded just now.
        model: Returns what judges now.
        device: Returns what it runs on.
        overview: Told by capture and inference.
        standing_still: Returns the hops without progress.
        is_durable: Returns whether events reach the disk.
        extend: Puts more than the health checks onto the HTTP port.
        metrics: What ``/metrics`` shows.
        clock: Time of the answers.
    """
    tell_build(metrics, model())
    metrics.config_reloaded_at.set(clock.now().timestamp())
    metrics.config_reload_ok.set(1)
    watch_memory(metrics, device)
    connections = Connections(metrics=metrics, clock=clock)
    yield connections
    if config.http.enabled:
        status = Status(
            site=config.site,
            model=lambda: _in_words(model()),
            started_at=clock.now(),
            overview=overview,
            metrics=metrics,
            standing_still=standing_still,
            connection=connections.connection,
            is_durable=is_durable,
            clock=clock,
        )
        app = http_app(status)
        extend(app)
        yield HttpService(app, config.http)


def tell_build(metrics: Metrics, model: ModelIdentity) -> None:
    """Show in the metrics what runs and what judges now."""
    metrics.build_info.clear()
    metrics.build_info.labels(lsm_monitor.__version__, model.name, model.backend).set(1)


def _in_words(model: ModelIdentity) -> str:
    return f"{model.name} {model.version} on {model.backend}"
