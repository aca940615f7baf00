"""The cameras: cards, pictures, readings."""

from __future__ import annotations

import contextlib
import gzip
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime

from lsm_monitor.clock import Clock
from lsm_monitor.history.history import History
from lsm_monitor.history.tiers import Reading
from lsm_monitor.types import CameraId
from lsm_monitor.web.access import Access
from lsm_monitor.web.assets import takes_gzip
from lsm_monitor.web.gallery import Gallery, Kind
from lsm_monitor.web.models import CAMERA_ID, CameraDetail, CameraList, ReadingAnswer, Readings
from lsm_monitor.web.problems import Problem, documented
from lsm_monitor.web.wall import Wall
from lsm_monitor.web.workers import Workers

_LONGEST = timedelta(days=400)
_MAX_POINTS = 5000
_QUICK = 1
"""Level of gzip: a millisecond for 200 cameras."""
CameraName = Annotated[str, Path(pattern=CAMERA_ID, description="Key in the configuration.")]
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}


def routes(
    *,
    wall: Wall,
    gallery: Gallery,
    history: History,
    access: Access,
    workers: Workers,
    clock: Clock,
) -> APIRouter:
    """Return the endpoints; all of them are for viewers."""
    router = APIRouter(
        prefix="/api/cameras", tags=["cameras"], dependencies=[Depends(access.needs("viewer"))]
    )

    @router.get("", response_model=CameraList, responses=documented(401, 403))
    async def cameras(request: Request) -> Response:
        """Every camera as it is now."""
        gallery.looked()
        body, headers = wall.all_json(), {"Vary": "Accept-Encoding"}
        if takes_gzip(request):  # two hundred cameras are half a megabyte
            body = await workers.run(gzip.compress, body, _QUICK)
            headers["Content-Encoding"] = "gzip"
        return Response(body, media_type="application/json", headers=headers)

    @router.get("/{camera_id}", responses=documented(401, 403, 404, 422))
    async def camera(camera_id: CameraName) -> CameraDetail:
        """One camera, with what is drawn into its picture."""
        gallery.looked()
        found = wall.detail(camera_id)
        if found is None:
            raise _no_camera(camera_id)
        return found

    @router.get(
        "/{camera_id}/picture.jpg",
        response_class=Response,
        responses={**_JPEG, **documented(401, 403, 404, 422)},
    )
    async def picture(
        camera_id: CameraName,
        kind: Annotated[Kind, Query(description="With water, without, or water alone.")] = (
            "overlay"
        ),
        v: Annotated[str, Query(max_length=64, description="'picture' of the card.")] = "",
    ) -> Response:
        """The newest judged picture."""
        gallery.looked()
        if not wall.has(camera_id):
            raise _no_camera(camera_id)
        found = gallery.newest(CameraId(camera_id))
        if found is None:
            raise Problem(404, f"camera {camera_id!r} has no judged picture yet")
        jpeg = await workers.run(gallery.jpeg, CameraId(camera_id), found, kind)
        # Private: a shared cache would show it to who is not logged in.
        keep = "private, max-age=3600, immutable" if v == found.version else "no-store"
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": keep})

    @router.get("/{camera_id}/readings", responses=documented(401, 403, 404, 422, 503))
    async def camera_readings(
        camera_id: CameraName,
        start: AwareDatetime | None = None,
        end: AwareDatetime | None = None,
        points: Annotated[int, Query(ge=1, le=_MAX_POINTS)] = 480,
    ) -> Readings:
        """Water fractions and levels over time; the last 24 hours unless said otherwise."""
        if not wall.has(camera_id):
            raise _no_camera(camera_id)
        first, last = _window(start, end, clock.now())
        found = await workers.run(history.readings, CameraId(camera_id), first, last, points)
        return Readings(
            zones={zone_id: [_reading(one) for one in each] for zone_id, each in found.items()}
        )

    return router


def _window(
    start: datetime | None, end: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    last = end or now
    with contextlib.suppress(OverflowError):  # the year 1 has no day before it
        first = start or last - timedelta(days=1)
        if timedelta() < last - first <= _LONGEST:
            return first, last
    raise Problem(422, f"'start' must be before 'end', by {_LONGEST.days} days at most")


def _reading(reading: Reading) -> ReadingAnswer:
    return ReadingAnswer(
        at=reading.at,
        fraction=reading.fraction,
        fraction_max=reading.fraction_max,
        level=reading.level,
        depth_cm=reading.depth_cm,
    )


def _no_camera(camera_id: str) -> Problem:
    return Problem(404, f"there is no camera {camera_id!r}")
