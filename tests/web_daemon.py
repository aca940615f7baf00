"""The page on a real port, without cameras, model and broker behind it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.changes import Changes, changes
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.errors import CommandError
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.history.history import History
from lsm_monitor.history.tiers import HistoryLimits
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.commands import Command
from lsm_monitor.publish.event_archive import EventArchive
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_app import Status, http_app
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.runtime.supervisor import Service
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.types import (
    Acknowledgement,
    CameraId,
    Feedback,
    Frame,
    FrameStamp,
    WaterLevel,
    WaterMask,
    WaterState,
    ZoneId,
)
from lsm_monitor.web.gallery import Gallery
from lsm_monitor.web.page import Page, PageSources
from tests.http_daemon import MODEL
from tests.served import Served

STARTED_AT = datetime(2026, 7, 1, tzinfo=UTC)
BRIDGE = CameraId("bridge")
SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]


class Answer(NamedTuple):
    """Status, headers with lower-case names, and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was answered
        return json.loads(self.body)


class WebDaemon(Served):
    """One camera, ``bridge`` with the zone ``lane``, and the page; a context manager.

    Args:
        folder: Where configuration, outbox, history and evidence live.
        http: Section of the configuration.
        cameras: More of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        http: Mapping[str, object] | None = None,
        cameras: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        bridge = {"url": "rtsp://192.0.2.1/s", "zones": {"lane": {"points": SQUARE}}}
        data = {
            "version": 1,
            "site": "west",
            "mqtt": {"host": "localhost"},
            "http": {"port": 0, **(http or {})},
            "cameras": {"bridge": bridge, **(cameras or {})},
        }
        self.file = folder / "monitor.yaml"
        self.file.write_text(json.dumps(data))  # which is YAML, too
        loaded = load(self.file, {})
        self.config = loaded.config
        self.metrics, self.clock = Metrics(), SystemClock()
        self.overview = Overview(self.metrics)
        names = [CameraId(name) for name in self.config.cameras]
        self.overview.watch(dict.fromkeys(names, 10.0), STARTED_AT)
        path = folder / "outbox.sqlite3"
        self.outbox = Outbox.open(path, now=self.clock.now(), metrics=self.metrics)
        self.history = History(
            folder / "history.sqlite3",
            limits=HistoryLimits(),
            metrics=self.metrics,
            clock=self.clock,
        )
        self.evidence = EvidenceStore(folder)
        self.evidence.open()
        self.page = Page(
            self.config.http,
            gallery=Gallery(metrics=self.metrics, clock=self.clock),
            sources=PageSources(
                site="west",
                started_at=STARTED_AT,
                config=lambda: self.config,
                overview=self.overview,
                outbox=self.outbox,
                archive=EventArchive(path),
                obey=self._obey,
                history=self.history,
                evidence=self.evidence,
                files=Reloader(
                    loaded,
                    environ={},
                    prepare=lambda _: None,
                    adopt=self._adopt,
                    on_result=lambda _: None,
                    notifier=Notifier({}),
                    metrics=self.metrics,
                    clock=self.clock,
                ),
                environ={},
            ),
            metrics=self.metrics,
            clock=self.clock,
        )
        self.app = http_app(
            Status(
                site="west",
                model=lambda: MODEL,
                started_at=STARTED_AT,
                overview=self.overview,
                metrics=self.metrics,
                standing_still=list,
                connections=Connections(metrics=self.metrics, clock=self.clock),
                is_durable=lambda: True,
                clock=self.clock,
            )
        )
        self.page.mount(self.app)
        self.tls: ssl.SSLContext | None = None

    def services(self, on_listening: Callable[[int], None]) -> Sequence[Service]:
        port = HttpService(self.app, self.config.http, on_listening=on_listening)
        return [port, *self.page.services()]

    def __exit__(self, *how: object) -> None:
        super().__exit__(*how)
        self.outbox.close()

    def connection(self) -> http.client.HTTPConnection:
        """Return a new connection to the port."""
        if self.tls is not None:
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=30.0, context=self.tls
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30.0)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer to one request; ``body`` is sent as JSON unless it is bytes."""
        told = {"Content-Type": "application/json", **(headers or {})}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        with ExitStack() as stack:
            connection = self.connection()
            stack.callback(connection.close)
            connection.request(method, path, data, told)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a GET."""
        return self.ask("GET", path, headers=headers)

    def see(
        self,
        level: WaterLevel,
        fraction: float | None = None,
        *,
        camera: CameraId = BRIDGE,
        at: datetime = STARTED_AT,
    ) -> None:
        """Have the camera's zone judged."""
        zone = ZoneId("lane")
        self.overview.on_states([WaterState(camera, zone, level, fraction, 0.9, at, at)])

    def show(self, *, camera: CameraId = BRIDGE, sequence: int = 1) -> None:
        """Offer the gallery a picture whose left half is water."""
        frame = Frame(
            FrameStamp(camera, 1, sequence, None, STARTED_AT, self.clock.monotonic_s()),
            np.full((1080, 1920, 3), 90, np.uint8),
        )
        probability = np.zeros((360, 640), np.float32)
        probability[:, :320] = 1.0
        self.page.gallery.put(frame, WaterMask(frame.stamp, probability, 0.5, 10.0))

    def _adopt(self, loaded: LoadedConfig) -> Changes:
        before, self.config = self.config, loaded.config
        return changes(before, loaded.config)

    async def _obey(self, command: Command) -> str:
        assert isinstance(command, Feedback | Acknowledgement)
        store = (
            self.outbox.add_feedback(command)
            if isinstance(command, Feedback)
            else self.outbox.acknowledge(command)
        )
        if not store:
            msg = "there is no such event"
            raise CommandError(msg)
        self.page.live.on_said(UUID(str(command.event_id)))
        return "done"
