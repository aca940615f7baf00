"""Composition root: the only module that knows every concrete class of the daemon.

:class:`Daemon` builds the data flow of ``docs/architecture.md`` from a configuration and runs
its services until it is told to stop. It stops in the order of the flow: cameras first, the
publisher last, so that what was decided still gets out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
from collections.abc import Callable, Iterator, Mapping

from lsm_monitor.assembly import (
    STATE_HEARTBEATS,
    Speech,
    Stores,
    Watch,
    assemble_page,
    assemble_speech,
    assemble_watch,
    open_stores,
)
from lsm_monitor.capture.redact import Redactor
from lsm_monitor.clock import Clock, SystemClock
from lsm_monitor.config.changes import Changes
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.secrets import revealed
from lsm_monitor.inference.segmenter_in_use import SegmenterInUse
from lsm_monitor.inference.worker import InferenceWorker
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.command_desk import CommandDesk
from lsm_monitor.publish.messages import Messages
from lsm_monitor.runtime import logs, state_dir
from lsm_monitor.runtime.connections import Connections
from lsm_monitor.runtime.http_app import Status
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.runtime.model_exchange import ModelExchange, on_exchange, ready_segmenter
from lsm_monitor.runtime.obey import Obedience
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.readiness import Readiness
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.runtime.service_group import Stage, run_services
from lsm_monitor.runtime.snapshots import Snapshots
from lsm_monitor.runtime.status_services import status_services
from lsm_monitor.runtime.supervisor import RestartPolicy, Service
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.runtime.threads import ThreadService
from lsm_monitor.types import Frame, WaterMask
from lsm_monitor.web.page import Page

logger = logging.getLogger(__name__)

_INFERENCE_DEADLINE_S = 10.0
"""A batch that takes longer than this is stuck; the watchdog is then no longer fed."""
_NEVER_GIVE_UP = RestartPolicy(limit=None)
"""A fault of ours that one camera brings out must not end the watch over the others."""
_CAPTURE_STOP_S = 5.0
"""The capture processes are given less before they are killed."""
_WRITER_STOP_S = 5.0
"""So long what still waits may be written; a disk that hangs is left behind."""


async def run_until_signalled(loaded: LoadedConfig, environ: Mapping[str, str]) -> None:
    """Run the daemon until SIGTERM or SIGINT, or until it cannot go on.

    Raises:
        LsmMonitorError: It could not start, or a service kept failing.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    daemon = Daemon(loaded, environ=environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.request_reload)
    await daemon.run(stop)


class Daemon:
    """The whole daemon, not yet started.

    Args:
        loaded: Checked configuration.
        environ: The process's environment: state folder, systemd.
        on_ready: Called once everything runs; for the demo and for tests.
    """

    def __init__(
        self,
        loaded: LoadedConfig,
        *,
        environ: Mapping[str, str],
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._loaded = loaded
        self._environ = environ
        self._on_ready = on_ready
        self._notifier = Notifier(environ)
        self._clock: Clock = SystemClock()
        self._progress = Progress(self._clock, deadline_s=_INFERENCE_DEADLINE_S)
        self._secrets = set(revealed(loaded.config))
        self._reloader: Reloader | None = None
        self.metrics = Metrics()

    def request_reload(self) -> None:
        """Read the configuration again; before everything runs it has just been read."""
        if self._reloader is not None:
            self._reloader.request()

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, run until ``stop`` is set, and stop everything.

        Raises:
            StoreError: The state folder cannot be used.
            BundleError: The model cannot be used.
            ConfigError: The model's backend or device is not there.
            RestartLimitExceededError: A service kept failing.
        """
        config = self._loaded.config
        with contextlib.ExitStack() as stack:
            folder = state_dir.resolve(config.state_dir, self._environ)
            stack.enter_context(state_dir.locked(folder))
            self._notifier.status("loading the model")
            on_progress = functools.partial(self._report_progress, stop)
            exchange = ModelExchange(
                # Nobody else may hold the first model: it goes when another takes over.
                await asyncio.to_thread(ready_segmenter, config.model, on_progress),
                config.model,
                on_progress=on_progress,
            )
            stack.callback(exchange.close)
            exchange.check(config.cameras)
            stores = open_stores(folder, config, stack, metrics=self.metrics, clock=self._clock)
            await self._serve(exchange, stores, stop)
        self._notifier.status("stopped")

    def _report_progress(self, stop: asyncio.Event, text: str) -> None:
        """Tell systemd that a plan is still being built; nothing once it has said stop."""
        if not stop.is_set():
            self._notifier.extend_timeout(text)

    async def _serve(
        self, exchange: ModelExchange, stores: Stores, stop: asyncio.Event
    ) -> None:
        segmenter = exchange.in_use
        config, clock, metrics = self._loaded.config, self._clock, self.metrics
        status = Status(
            site=config.site,
            model=lambda: segmenter.identity,
            started_at=clock.now(),
            overview=Overview(metrics),
            metrics=metrics,
            standing_still=self._progress.standing_still,
            connections=Connections(metrics=metrics, clock=clock),
            is_durable=lambda: stores.outbox.is_durable,
            clock=clock,
        )
        speech = assemble_speech(
            self._loaded,
            model=segmenter.identity,
            stores=stores,
            stats=status.stats_json,
            metrics=metrics,
            clock=clock,
        )
        watch = assemble_watch(
            config,
            segmenter=segmenter,
            stores=stores,
            speech=speech,
            overview=status.overview,
            on_capture_step=functools.partial(self._progress.beat, "capture"),
            metrics=metrics,
            clock=clock,
        )
        settings = LiveSettings(
            config,
            overrides=stores.overrides,
            cameras=watch.cameras,
            on_change=speech.announcer.announce,
            clock=clock,
        )
        speech.announcer.announce(settings)
        tell_info = functools.partial(
            speech.messages.info, device=segmenter.device, started_at=clock.now()
        )
        speech.publisher.retain(tell_info(reason="start"))

        def tell_reload(problem: str | None = None) -> None:
            speech.publisher.retain(tell_info(reason="reload", problem=problem))

        segmenter.on_exchange = on_exchange(speech.messages, metrics, tell_reload)
        watch.cameras.start()
        logger.info(
            "watching %d cameras with %s %s",
            sum(camera.enabled for camera in settings.config.cameras.values()),
            segmenter.identity.name,
            segmenter.identity.version,
        )
        snapshots = Snapshots(
            settings,
            topics=speech.topics,
            publish=speech.publisher.tell,
            expires_s=STATE_HEARTBEATS * config.mqtt.heartbeat_s,
            clock=clock,
        )
        self._reloader = Reloader(
            self._loaded,
            environ=self._environ,
            prepare=functools.partial(self._prepare, exchange),
            adopt=functools.partial(self._adopt, settings, speech.messages, exchange),
            on_result=tell_reload,
            notifier=self._notifier,
            metrics=metrics,
            clock=clock,
        )
        obedience = Obedience(
            reloader=self._reloader,
            settings=settings,
            outbox=stores.outbox,
            snapshot=snapshots.take,
        )
        page = assemble_page(
            settings,
            stores=stores,
            watch=watch,
            obey=obedience.obey,
            files=self._reloader,
            environ=self._environ,
            metrics=metrics,
            clock=clock,
        )
        obedience.on_told = page.live.on_said
        watch.evidence.on_stored = page.live.on_stored
        # The first beat: a hang in the very first batch must be noticed, too.
        self._progress.beat("inference")
        asides = [
            *status_services(
                config.http, status, device=lambda: segmenter.device, extend=page.mount
            ),
            Readiness(watch.overview, notifier=self._notifier, on_ready=self._on_ready),
            self._reloader,
            settings,
            *self._command_desk(speech, settings, obedience),
            *page.services(),
            *(
                ThreadService(name, run, stop_timeout_s=_WRITER_STOP_S)
                for name, run in watch.writers.items()
            ),
        ]
        capture = ThreadService("capture", watch.fleet.run, stop_timeout_s=_CAPTURE_STOP_S)
        with contextlib.closing(snapshots):
            await run_services(
                [
                    Stage([speech.publisher]),
                    Stage(asides, _NEVER_GIVE_UP),
                    Stage([self._inference(segmenter, watch, page)]),
                    Stage([capture], _NEVER_GIVE_UP),
                ],
                stop=stop,
                notifier=self._notifier,
                progress=self._progress,
                metrics=metrics,
                clock=clock,
            )

    def _command_desk(
        self, speech: Speech, settings: LiveSettings, obedience: Obedience
    ) -> Iterator[Service]:
        """Yield what obeys commands, if anything is listened to."""
        if speech.inbox is None:
            return
        yield CommandDesk(
            site=self._loaded.config.site,
            topics=speech.topics,
            inbox=speech.inbox,
            known=settings.known,
            on_command=obedience.obey,
            reply=speech.publisher.tell,
            birth_topic=speech.home_assistant.birth_topic,
            on_birth=speech.announcer.repeat_descriptions,
            metrics=self.metrics,
            clock=self._clock,
        )

    def _prepare(self, exchange: ModelExchange, loaded: LoadedConfig) -> None:
        """Get ready for a new configuration, or refuse it; not in the loop's thread."""
        self._learn_secrets(loaded)
        exchange.prepare(loaded.config.model, loaded.config.cameras)

    def _learn_secrets(self, loaded: LoadedConfig) -> None:
        """Log as a new configuration says, and none of its passwords."""
        # The secrets of before, too: connections that are closing may still speak of them.
        self._secrets |= set(revealed(loaded.config))
        logging_config = loaded.config.logging
        logs.configure(
            level=logging_config.level,
            fmt=logging_config.format,
            redact=Redactor(self._secrets).redact,
        )

    def _adopt(
        self,
        settings: LiveSettings,
        messages: Messages,
        exchange: ModelExchange,
        loaded: LoadedConfig,
    ) -> Changes:
        """Go over to a new configuration; what needs a restart stays as it is, and is said."""
        messages.use_config(loaded.digest)
        exchange.adopt()
        return settings.adopt(loaded.config)

    def _inference(self, segmenter: SegmenterInUse, watch: Watch, page: Page) -> ThreadService:
        def on_mask(frame: Frame, mask: WaterMask) -> None:
            watch.on_mask(frame, mask)
            page.show(frame, mask)

        def on_tick() -> None:
            segmenter.exchange()
            watch.decisions.on_tick()
            self._progress.beat("inference")

        worker = InferenceWorker(
            scheduler=watch.scheduler,
            segmenter=segmenter,
            on_mask=on_mask,
            on_tick=on_tick,
            on_stretch=watch.cameras.stretch,
            metrics=self.metrics,
            clock=self._clock,
        )
        return ThreadService("inference", worker.run, stop_timeout_s=_INFERENCE_DEADLINE_S)
