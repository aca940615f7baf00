"""Zones, gauges and ground: tried on the newest picture, reviewed, saved. For admins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lsm_monitor.errors import ConfigChangedError, ConfigError, ConfigNotWritableError
from lsm_monitor.types import ZoneReading
from lsm_monitor.web.access import Access, Principal
from lsm_monitor.web.api_cameras import CameraName
from lsm_monitor.web.editor import DraftExpiredError, Editor
from lsm_monitor.web.models import Depth, Fraction
from lsm_monitor.web.problems import Problem, documented

_MAX_SHAPES = 64
Number = Annotated[float, Field(allow_inf_nan=False)]
Corner = Annotated[list[Number], Field(min_length=2, max_length=2)]


class Drawing(BaseModel):
    """What is drawn into a picture, all of it, as in the answer about a camera."""

    model_config = ConfigDict(extra="forbid")

    zones: dict[str, list[Corner]] = Field(max_length=_MAX_SHAPES)
    gauges: dict[str, dict[str, Any]] = Field(default={}, max_length=_MAX_SHAPES)
    ground: dict[str, Any] | None = None

    def as_configured(self) -> dict[str, Any]:
        """Return it as it stands in a configuration."""
        zones = {name: {"points": corners} for name, corners in self.zones.items()}
        drawn = {"zones": zones, "gauges": self.gauges, "ground": self.ground}
        return {key: value for key, value in drawn.items() if value}


class ReviewForm(Drawing):
    """A drawing, and what it began from."""

    base: Drawing | None = Field(
        default=None, description="Refuse with 409 when the file has another one by now."
    )
    renamed: dict[str, str] = Field(
        default={},
        max_length=_MAX_SHAPES,
        description="New names of zones, and their old ones: what they say beside their "
        "outlines goes with them.",
    )


class SaveForm(BaseModel):
    """What was reviewed."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=64)


class ZonePreview(BaseModel):
    """What one picture says about a zone."""

    water_fraction: Fraction
    depth: Depth | None
    area_m2: float | None


class Preview(BaseModel):
    """What the newest judged picture says about each zone."""

    observed_at: AwareDatetime
    zones: dict[str, ZonePreview]


class Review(BaseModel):
    """What saving would change in which file."""

    diff: str = Field(description="Unified; empty: nothing would change.")
    token: str = Field(description="For saving it, within 15 minutes.")
    file: str
    writable: bool = Field(description="False: the daemon may not write this file.")


class Saved(BaseModel):
    """It is in the file, and in use."""

    applied: bool = True
    changes: str


def routes(*, editor: Editor, access: Access) -> APIRouter:
    """Return the endpoints; all of them are for admins."""
    router = APIRouter(prefix="/api/cameras/{camera_id}", tags=["editor"])
    admin = Depends(access.needs("admin"))

    @router.post(
        "/preview",
        dependencies=[admin],
        responses=documented(400, 401, 403, 404, 408, 413, 422),
    )
    async def preview(camera_id: CameraName, drawing: Drawing) -> Preview:
        """What the newest picture says about these zones; nothing is changed."""
        _expect_camera(editor, camera_id)
        with _problems():
            found = await editor.preview(camera_id, drawing.as_configured())
        if found is None:
            raise Problem(404, f"camera {camera_id!r} has no judged picture yet")
        observed_at, readings = found
        zones = {str(reading.zone_id): _zone(reading) for reading in readings}
        return Preview(observed_at=observed_at, zones=zones)

    @router.post("/diff", responses=documented(400, 401, 403, 404, 408, 409, 413, 422))
    async def diff(camera_id: CameraName, form: ReviewForm, who: Principal = admin) -> Review:
        """What saving would change in the configuration; nothing is changed yet."""
        _expect_camera(editor, camera_id)
        with _problems():
            proposal = await editor.propose(
                camera_id,
                form.as_configured(),
                base=None if form.base is None else form.base.as_configured(),
                renamed=form.renamed,
                owner=who.csrf,
            )
        return Review(
            diff=proposal.diff,
            token=proposal.token,
            file=proposal.file,
            writable=proposal.is_writable,
        )

    @router.post(
        "/save", responses=documented(400, 401, 403, 404, 408, 409, 410, 413, 422, 503)
    )
    async def save(camera_id: CameraName, form: SaveForm, who: Principal = admin) -> Saved:
        """Write what was reviewed, and judge by it from now on."""
        _expect_camera(editor, camera_id)
        with _problems():
            changes = await editor.save(camera_id, form.token, owner=who.csrf, who=who.name)
        return Saved(changes=changes)

    return router


def _zone(reading: ZoneReading) -> ZonePreview:
    depth = reading.depth
    return ZonePreview(
        water_fraction=reading.water_fraction,
        depth=None if depth is None else Depth(min_cm=depth.min_cm, max_cm=depth.max_cm),
        area_m2=reading.area_m2,
    )


def _expect_camera(editor: Editor, camera_id: str) -> None:
    if not editor.has(camera_id):
        raise Problem(404, f"there is no camera {camera_id!r}")


@contextlib.contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except DraftExpiredError as exc:
        raise Problem(410, str(exc)) from None
    except ConfigChangedError as exc:
        raise Problem(409, str(exc)) from None
    except ConfigNotWritableError as exc:
        raise Problem(503, str(exc)) from None
    except ConfigError as exc:
        raise Problem(422, str(exc)) from None
