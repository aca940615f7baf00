"""The page, put together: what it is fed by, what runs, and how it comes onto the HTTP port."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fastapi import FastAPI

from lsm_monitor.clock import Clock
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.config.service import HttpConfig
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.history.history import History
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.commands import Command
from lsm_monitor.publish.event_archive import EventArchive
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.runtime.threads import ThreadService
from lsm_monitor.types import CameraId, Frame, WaterMask
from lsm_monitor.web import (
    api_cameras,
    api_editor,
    api_episodes,
    api_session,
    api_stream,
    assets,
    problems,
)
from lsm_monitor.web.access import Access
from lsm_monitor.web.editor import ConfigFiles, Editor
from lsm_monitor.web.episodes import Episodes, OpenEpisodesSource
from lsm_monitor.web.gallery import Gallery, Picture
from lsm_monitor.web.guard import Guard
from lsm_monitor.web.hub import Hub
from lsm_monitor.web.limits import LoginLimits
from lsm_monitor.web.live import LivePage
from lsm_monitor.web.origins import known_names
from lsm_monitor.web.passwords import PasswordDesk
from lsm_monitor.web.sessions import Sessions
from lsm_monitor.web.users import Users
from lsm_monitor.web.wall import Wall
from lsm_monitor.web.workers import Workers

_GALLERY_STOP_S = 2.0


@dataclass(frozen=True, slots=True)
class PageSources:
    """Where the page's contents come from.

    Attributes:
        site: Name of the installation.
        started_at: When the daemon started, timezone-aware UTC.
        config: Returns the configuration that holds now.
        overview: Knows every watched camera.
        outbox: Knows the open episodes.
        archive: Has the episodes that are kept.
        obey: Does what may be asked for by MQTT, too.
        history: Has the readings of the past.
        evidence: Has files about events.
        files: The configuration that what is drawn is saved in.
        environ: The process's environment, for the secrets of that configuration.
    """

    site: str
    started_at: datetime
    config: Callable[[], MonitorConfig]
    overview: Overview
    outbox: OpenEpisodesSource
    archive: EventArchive
    obey: Callable[[Command], Awaitable[str]]
    history: History
    evidence: EvidenceStore
    files: ConfigFiles
    environ: Mapping[str, str] = field(repr=False)


class Page:
    """Everything that the page is served by.

    Args:
        http: How people come in; read once.
        gallery: Has the newest pictures; fed by the inference thread.
        sources: Where the contents come from.
        metrics: Counts.
        clock: Time.

    Attributes:
        access: Decides who may; for further endpoints.
        gallery: See ``Args``.
        live: To be told when something changes.

    Raises:
        ConfigError: The users file cannot be used.
    """

    def __init__(
        self,
        http: HttpConfig,
        *,
        gallery: Gallery,
        sources: PageSources,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._http = http
        self._sources = sources
        self._metrics = metrics
        self._clock = clock
        self._hub = Hub(metrics)
        self._workers = Workers()
        self._episodes = Episodes(
            outbox=sources.outbox, archive=sources.archive, evidence=sources.evidence
        )
        self._wall = Wall(
            overview=sources.overview,
            config=sources.config,
            gallery=gallery,
            hub=self._hub,
            clock=clock,
        )
        file = http.users_file if http.enabled else None
        users = None if file is None else Users(file)
        sessions = Sessions(idle_s=http.session_idle_s, max_s=http.session_max_s, clock=clock)
        self.access = Access(users=users, sessions=sessions, workers=self._workers, clock=clock)
        self.gallery = gallery
        self.live = LivePage(
            wall=self._wall,
            episodes=self._episodes,
            hub=self._hub,
            overview=sources.overview,
            history=sources.history,
            config=sources.config,
            workers=self._workers,
            clock=clock,
        )
        gallery.on_new = self.live.wake

    def show(self, frame: Frame, mask: WaterMask) -> None:
        """Offer a judged picture; returns at once. For the inference thread."""
        if self._http.enabled:
            self.gallery.put(frame, mask)

    def services(self) -> Sequence[Service]:
        """Return what has to run for the page; nothing without a port."""
        if not self._http.enabled:
            return ()
        shrinking = ThreadService("gallery", self.gallery.run, stop_timeout_s=_GALLERY_STOP_S)
        return (self.live, shrinking)

    def _editor(self) -> Editor:
        return Editor(
            self._sources.files,
            environ=self._sources.environ,
            newest=self._newest,
            workers=self._workers,
            metrics=self._metrics,
            clock=self._clock,
        )

    def _newest(self, camera_id: CameraId) -> Picture | None:
        self.gallery.looked()
        return self.gallery.newest(camera_id)

    def mount(self, app: FastAPI) -> None:
        """Put the page and its API onto ``app``, and guard all that is there."""
        sources, access, clock = self._sources, self.access, self._clock
        door = api_session.Door(
            access=access,
            passwords=PasswordDesk(),
            limits=LoginLimits(clock),
            metrics=self._metrics,
        )
        for router in (
            assets.routes(assets.Assets.shipped()),
            api_session.routes(
                door,
                site=sources.site,
                started_at=sources.started_at,
                known=access.needs("viewer"),
            ),
            api_stream.routes(
                hub=self._hub,
                gallery=self.gallery,
                access=access,
                started_at=sources.started_at,
            ),
            api_cameras.routes(
                wall=self._wall,
                gallery=self.gallery,
                history=sources.history,
                access=access,
                workers=self._workers,
                clock=clock,
            ),
            api_episodes.routes(
                episodes=self._episodes,
                obey=sources.obey,
                access=access,
                workers=self._workers,
                clock=clock,
            ),
            api_episodes.evidence_routes(
                evidence=sources.evidence, access=access, workers=self._workers
            ),
            api_editor.routes(editor=self._editor(), access=access),
        ):
            app.include_router(router)
        problems.install(app)
        app.add_middleware(
            Guard,
            access=access,
            names=known_names(self._http.allowed_hosts),
            token=self._http.metrics_token,
        )
