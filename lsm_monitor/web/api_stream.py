"""Server-sent events: one connection per page, on which it is told every change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

import lsm_monitor
from lsm_monitor.publish.payloads import rfc3339
from lsm_monitor.web.access import Access
from lsm_monitor.web.gallery import Gallery
from lsm_monitor.web.hub import MAX_CLIENTS, Hub, sse_event
from lsm_monitor.web.problems import Problem, documented

HEARTBEAT_S = 15.0
_HEARTBEAT = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx must not collect it


def routes(*, hub: Hub, gallery: Gallery, access: Access, started_at: datetime) -> APIRouter:
    """Return the endpoint."""
    router = APIRouter(prefix="/api", tags=["stream"])
    hello = json.dumps(
        {"version": lsm_monitor.__version__, "started_at": rfc3339(started_at)}
    ).encode()

    @router.get(
        "/stream",
        dependencies=[Depends(access.needs("viewer"))],
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            **documented(401, 403, 503),
        },
    )
    async def stream(request: Request) -> StreamingResponse:
        """Tells `hello`, then `camera`, `gone`, `episode` and `episode_gone`, as they come.

        Whatever changes after `hello` is told: ask for the cameras then.
        """
        if not hub.has_room():
            raise Problem(
                503,
                f"{MAX_CLIENTS} pages are open already; close one",
                headers={"Retry-After": "30"},
            )
        return StreamingResponse(
            news_for(request), media_type="text/event-stream", headers=_HEADERS
        )

    async def news_for(request: Request) -> AsyncIterator[bytes]:
        with hub.client() as client:
            yield sse_event("hello", hello)
            while not client.is_closed:
                news = await client.next(HEARTBEAT_S)
                # Whoever has the page open uses it: a map on a wall asks for nothing else.
                if await access.principal(request) is None:
                    return
                gallery.looked()
                yield news or _HEARTBEAT

    return router
