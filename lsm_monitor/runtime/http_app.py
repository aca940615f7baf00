"""What the HTTP port answers. Pure request and response: it opens nothing and holds nothing.

Everything is read-only and free of addresses and credentials. Endpoints that read many
samples are plain functions, which FastAPI runs outside the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Header, Query, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import choose_encoder

import lsm_monitor
from lsm_monitor.clock import Clock
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connection, Connections
from lsm_monitor.runtime.http_models import Alive, CameraStats, Ready, Stats, ZoneStats
from lsm_monitor.runtime.overview import CameraOverview, Overview
from lsm_monitor.types import HealthState, ModelIdentity, WaterState

_UNAVAILABLE = 503
_SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Status:
    """Where the answers come from.

    Attributes:
        site: Name of the installation.
        model: Returns what judges now.
        started_at: When the daemon started, timezone-aware UTC.
        standing_still: Returns the hops without progress.
        connections: Know each camera's last hour.
        is_durable: Returns whether events reach the disk.
    """

    site: str
    model: Callable[[], ModelIdentity]
    started_at: datetime
    overview: Overview
    metrics: Metrics
    standing_still: Callable[[], list[str]]
    connections: Connections
    is_durable: Callable[[], bool]
    clock: Clock

    def ready(self) -> Ready:
        """Return whether at least one camera is judged."""
        cameras = self.overview.cameras().values()
        deciding = sum(camera.is_decided for camera in cameras)
        return Ready(
            ready=deciding > 0,
            cameras=len(cameras),
            deciding=deciding,
            durable=self.is_durable(),
        )

    def stats(self) -> Stats:
        """Return everything."""
        model, connection = self.model(), self.connections.connection
        return Stats(
            schema="lsm.stats/1",
            site=self.site,
            sent_at=self.clock.now(),
            version=lsm_monitor.__version__,
            model=f"{model.name} {model.version} on {model.backend}",
            started_at=self.started_at,
            ready=self.ready().ready,
            cameras={
                camera_id: _camera(camera, connection(camera_id, camera.interval_s))
                for camera_id, camera in self.overview.cameras().items()
            },
            metrics=self.metrics.snapshot(),
        )

    def stats_json(self) -> bytes:
        """Return everything as the topic ``stats`` has it."""
        return self.stats().model_dump_json(by_alias=True).encode()


def http_app(status: Status) -> FastAPI:
    """Return the application; its OpenAPI document is at ``/openapi.json``."""
    # Without the pages that show the document: they load scripts from somewhere else.
    app = FastAPI(
        title="lsm_monitor",
        version=lsm_monitor.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    @app.get("/healthz", responses={_UNAVAILABLE: {"model": Alive}})
    async def healthz(response: Response) -> Alive:
        """Whether the event loop answers and every part of the daemon moves."""
        standing_still = status.standing_still()
        response.headers.update(_SECURITY_HEADERS)
        if standing_still:
            response.status_code = _UNAVAILABLE
        return Alive(alive=not standing_still, standing_still=standing_still)

    @app.get("/readyz", responses={_UNAVAILABLE: {"model": Ready}})
    async def readyz(response: Response) -> Ready:
        """Whether at least one camera is judged: the model works and a picture came."""
        answer = status.ready()
        response.headers.update(_SECURITY_HEADERS)
        if not answer.ready:
            response.status_code = _UNAVAILABLE
        return answer

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics(
        accept: Annotated[str, Header()] = "",
        names: Annotated[Sequence[str], Query(alias="name[]")] = (),
    ) -> Response:
        """All metrics, or those of the names, as Prometheus or OpenMetrics text."""
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # prometheus_client compares a version that is none with numbers
            encode, content_type = choose_encoder("")
        registry = status.metrics.registry
        body = encode(registry.restricted_registry(names) if names else registry)
        return Response(body, headers={**_SECURITY_HEADERS, "Content-Type": content_type})

    @app.get("/api/stats")
    def stats(response: Response) -> Stats:
        """Every camera with its zones, connection and health, and every metric."""
        response.headers.update(_SECURITY_HEADERS)
        return status.stats()

    return app


def _camera(camera: CameraOverview, connection: Connection) -> CameraStats:
    health = camera.health
    return CameraStats(
        state=health.state,
        codes=[str(code) for code in health.codes],
        detail=health.detail,
        since=health.since,
        last_frame_at=camera.observed_at,
        expected_fps=connection.expected_fps,
        fps=connection.fps,
        reconnects_last_hour=connection.reconnects,
        stalls_last_hour=connection.stalls,
        connection_quality=connection.quality(is_up=health.state is not HealthState.OFFLINE),
        zones={zone_id: _zone(state) for zone_id, state in camera.zones.items()},
    )


def _zone(state: WaterState) -> ZoneStats:
    return ZoneStats(
        level=state.level,
        water_fraction=state.water_fraction,
        since=state.since,
        observed_at=state.observed_at,
    )
