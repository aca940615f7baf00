"""The daemon's HTTP port, served for real on a free loopback port, without the rest of it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from datetime import UTC, datetime
from typing import Self

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import HttpConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_app import Status, http_app
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.types import CameraId, WaterLevel, WaterState, ZoneId

STARTED_AT = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE = CameraId("bridge")


class HttpDaemon:
    """One watched camera, ``bridge``, behind a real server; a context manager."""

    def __init__(self, config: HttpConfig | None = None) -> None:
        self._config = config or HttpConfig(port=0)
        self.metrics = Metrics()
        self.overview = Overview(self.metrics)
        self.overview.watch({BRIDGE: 10.0}, STARTED_AT)
        self.standing_still: list[str] = []
        clock = SystemClock()
        status = Status(
            site="west",
            model=lambda: "compact 1.0 on torch-fp32",
            started_at=STARTED_AT,
            overview=self.overview,
            metrics=self.metrics,
            standing_still=lambda: self.standing_still,
            connection=Connections(metrics=self.metrics, clock=clock).connection,
            is_durable=lambda: True,
            clock=clock,
        )
        self.app = http_app(status)
        self.port = 0
        self._stop = threading.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30.0)
        assert not self._thread.is_alive()

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Return status and body of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def send(self, data: bytes, *, and_hang_up: bool = True) -> bytes:
        """Return everything the server answers to ``data`` before it closes the connection.

        Args:
            data: Sent as it is.
            and_hang_up: Say that nothing more will come; without it, ``data`` must ask for
                the connection to be closed.
        """
        with socket.create_connection(("127.0.0.1", self.port), 30.0) as client:
            client.sendall(data)
            if and_hang_up:
                client.shutdown(socket.SHUT_WR)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer

    def see(self, level: WaterLevel, fraction: float | None = None) -> None:
        """Have the camera's zone judged."""
        state = WaterState(BRIDGE, ZoneId("lane"), level, fraction, 0.9, STARTED_AT, STARTED_AT)
        self.overview.on_states([state])

    async def _run(self) -> None:
        service = HttpService(self.app, self._config, on_listening=self._listens)
        serving = asyncio.create_task(service.run())
        await asyncio.to_thread(self._stop.wait)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    def _listens(self, port: int) -> None:
        self.port = port
        self._listening.set()
