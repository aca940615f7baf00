"""The services that tell others how the daemon is; none of them may end the watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastapi import FastAPI

import lsm_monitor
from lsm_monitor.config.models import HttpConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_app import Status, http_app
from lsm_monitor.runtime.memory import watch_memory
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.types import ModelIdentity


def status_services(
    http: HttpConfig,
    status: Status,
    *,
    device: Callable[[], str],
    extend: Callable[[FastAPI], None] = lambda _: None,
) -> Iterator[Service]:
    """Yield the services, and fill the gauges that hardly ever change.

    Args:
        http: Where to answer.
        status: What to answer.
        device: Returns what the model runs on.
        extend: Puts more than the health checks onto the HTTP port.
    """
    metrics = status.metrics
    tell_build(metrics, status.model())
    metrics.config_reloaded_at.set(status.clock.now().timestamp())
    metrics.config_reload_ok.set(1)
    watch_memory(metrics, device)
    yield status.connections
    if http.enabled:
        app = http_app(status)
        extend(app)
        yield HttpService(app, http)


def tell_build(metrics: Metrics, model: ModelIdentity) -> None:
    """Show in the metrics what runs and what judges now."""
    metrics.build_info.clear()
    metrics.build_info.labels(lsm_monitor.__version__, model.name, model.backend).set(1)
