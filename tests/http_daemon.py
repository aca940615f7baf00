"""The daemon's HTTP port, served for real on a free loopback port, without the rest of it."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import HttpConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_app import Status, http_app
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.types import CameraId, ModelIdentity, WaterLevel, WaterState, ZoneId
from tests.served import Served

STARTED_AT = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE = CameraId("bridge")
MODEL = ModelIdentity("compact", "1.0", "5f" * 32, "torch-fp32")


class HttpDaemon(Served):
    """One watched camera, ``bridge``, behind a real server; a context manager."""

    def __init__(self, config: HttpConfig | None = None) -> None:
        super().__init__()
        self._config = config or HttpConfig(port=0)
        self.metrics = Metrics()
        self.overview = Overview(self.metrics)
        self.overview.watch({BRIDGE: 10.0}, STARTED_AT)
        self.standing_still: list[str] = []
        clock = SystemClock()
        self.status = Status(
            site="west",
            model=lambda: MODEL,
            started_at=STARTED_AT,
            overview=self.overview,
            metrics=self.metrics,
            standing_still=lambda: self.standing_still,
            connections=Connections(metrics=self.metrics, clock=clock),
            is_durable=lambda: True,
            clock=clock,
        )
        self.app = http_app(self.status)

    def services(self, on_listening: Callable[[int], None]) -> Sequence[Service]:
        return [HttpService(self.app, self._config, on_listening=on_listening)]

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def see(self, level: WaterLevel, fraction: float | None = None) -> None:
        """Have the camera's zone judged."""
        state = WaterState(BRIDGE, ZoneId("lane"), level, fraction, 0.9, STARTED_AT, STARTED_AT)
        self.overview.on_states([state])
