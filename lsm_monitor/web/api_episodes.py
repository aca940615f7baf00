"""Episodes, what people say about them, and the files that were kept of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path as FilePath
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import FileResponse

from lsm_monitor.clock import Clock
from lsm_monitor.errors import CommandError
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.publish.commands import Command
from lsm_monitor.types import Acknowledgement, Feedback
from lsm_monitor.web.access import Access, Principal
from lsm_monitor.web.episodes import Episodes, State
from lsm_monitor.web.models import (
    CAMERA_ID,
    EVENT_ID,
    Episode,
    EpisodeDetail,
    EpisodeList,
    FeedbackForm,
    Nothing,
)
from lsm_monitor.web.problems import Problem, documented
from lsm_monitor.web.workers import Workers

logger = logging.getLogger(__name__)

EventId = Annotated[str, Path(pattern=EVENT_ID, description="UUID, lower case.")]
_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".mkv": "video/x-matroska",
    ".mp4": "video/mp4",
    ".png": "image/png",
}


def routes(
    *,
    episodes: Episodes,
    obey: Callable[[Command], Awaitable[str]],
    access: Access,
    workers: Workers,
    clock: Clock,
) -> APIRouter:
    """Return the endpoints about episodes.

    Args:
        episodes: Answers questions.
        obey: Does what may be asked for by MQTT, too; raises ``LsmMonitorError``.
        access: Decides who may.
        workers: Wait for the disk.
        clock: When somebody said something.
    """
    router = APIRouter(prefix="/api/episodes", tags=["episodes"])
    viewer, operator = Depends(access.needs("viewer")), Depends(access.needs("operator"))

    @router.get("", dependencies=[viewer], responses=documented(401, 403, 422, 503))
    async def listed(
        state: State = "open",
        camera: Annotated[str | None, Query(pattern=CAMERA_ID)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: Annotated[
            str | None, Query(pattern=EVENT_ID, description="'next' of the answer before.")
        ] = None,
    ) -> EpisodeList:
        """Episodes, newest first."""
        last = UUID(before) if before else None
        return await workers.run(episodes.page, state, camera=camera, limit=limit, before=last)

    @router.get(
        "/{event_id}", dependencies=[viewer], responses=documented(401, 403, 404, 422, 503)
    )
    async def one(event_id: EventId) -> EpisodeDetail:
        """An episode with its events as they were published."""
        found = await workers.run(episodes.detail, UUID(event_id))
        if found is None:
            raise _no_episode()
        return found

    async def said(command: Acknowledgement | Feedback) -> Episode:
        try:
            await obey(command)
        except CommandError:
            raise _no_episode() from None
        found = await workers.run(episodes.one, command.event_id)
        if found is None:
            raise _no_episode()
        what = command.verdict if isinstance(command, Feedback) else "acknowledged"
        logger.info("page: %r on episode %s: %s", command.by, command.event_id, what)
        return found

    @router.post("/{event_id}/acknowledge", responses=_CHANGES)
    async def acknowledge(
        event_id: EventId,
        who: Principal = operator,
        _: Nothing | None = None,
    ) -> Episode:
        """Say that somebody takes care of it; who says so first, stands there."""
        return await said(Acknowledgement(UUID(event_id), who.name, clock.now()))

    @router.post("/{event_id}/feedback", responses=_CHANGES)
    async def feedback(
        event_id: EventId,
        form: FeedbackForm,
        who: Principal = operator,
    ) -> Episode:
        """Say what it was; stands beside what others have said."""
        return await said(
            Feedback(UUID(event_id), form.verdict, form.note, who.name, clock.now())
        )

    return router


_CHANGES = documented(400, 401, 403, 404, 408, 413, 422, 503)


def evidence_routes(*, evidence: EvidenceStore, access: Access, workers: Workers) -> APIRouter:
    """Return the endpoint that hands out files about events."""
    router = APIRouter(prefix="/api/evidence", tags=["episodes"])

    @router.get(
        "/{event_id}/{name}",
        dependencies=[Depends(access.needs("viewer"))],
        response_class=FileResponse,
        responses=documented(401, 403, 404, 422),
    )
    async def file(
        event_id: EventId, name: Annotated[str, Path(pattern=_FILE_NAME)]
    ) -> FileResponse:
        """A file that was kept of an event; ranges are answered."""
        path = await workers.run(evidence.path_of, UUID(event_id), name)
        if path is None or not await workers.run(path.is_file):
            raise Problem(404, "there is no such file, or no longer")
        media_type = _MEDIA_TYPES.get(FilePath(name).suffix, "application/octet-stream")
        # A clip that comes later is noted in the sidecar; all else stays as it was written.
        is_sidecar = name.endswith(".json")
        keep = "no-cache" if is_sidecar else "private, max-age=86400, immutable"
        return FileResponse(path, media_type=media_type, headers={"Cache-Control": keep})

    return router


def _no_episode() -> Problem:
    return Problem(404, "there is no such episode, or no longer")
