"""Composition root: the only module that knows every concrete class of the daemon.

:class:`Daemon` builds the data flow of ``docs/architecture.md`` from a configuration and runs
its services until it is told to stop. It stops in the order of the flow: cameras first, the
publisher last, so that what was decided still gets out.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import lsm_monitor
from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.redact import Redactor
from lsm_monitor.clock import Clock, SystemClock
from lsm_monitor.config.changes import Changes
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import ModelConfig, MonitorConfig
from lsm_monitor.config.secrets import revealed
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.inference.worker import InferenceWorker
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_open import OUTBOX_FILE
from lsm_monitor.publish.outbox_rows import StoreLimits
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime import capture_process, logs, state_dir
from lsm_monitor.runtime.cameras import Cameras
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.judging import batch_deadline_s, open_segmenter
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.readiness import Readiness
from lsm_monitor.runtime.reload import Reloader
from lsm_monitor.runtime.service_group import Stage, run_services
from lsm_monitor.runtime.status_services import status_services
from lsm_monitor.runtime.supervisor import RestartPolicy
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.runtime.threads import ThreadService

logger = logging.getLogger(__name__)

_INFERENCE_DEADLINE_S = 10.0
"""A batch that takes longer than this is stuck; the watchdog is then no longer fed."""
_NEVER_GIVE_UP = RestartPolicy(limit=None)
"""A fault of ours that one camera brings out must not end the watch over the others."""
_STATE_HEARTBEATS = 3.0
"""A state that was not repeated so often is no longer one."""
_CAPTURE_STOP_S = 5.0
"""The capture processes are given less before they are killed."""


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
        with ExitStack() as stack:
            folder = state_dir.resolve(config.state_dir, self._environ)
            stack.enter_context(state_dir.locked(folder))
            self._notifier.status("loading the model")
            segmenter = await asyncio.to_thread(
                _ready_segmenter, config.model, functools.partial(self._report_progress, stop)
            )
            stack.callback(segmenter.close)
            now = self._clock.now()
            outbox = Outbox.open(
                folder / OUTBOX_FILE, now=now, limits=store_limits(config), metrics=self.metrics
            )
            stack.callback(outbox.close)
            await self._serve(segmenter, outbox, stop)
        self._notifier.status("stopped")

    def _report_progress(self, stop: asyncio.Event, text: str) -> None:
        """Tell systemd that a plan is still being built; nothing once it has said stop."""
        if not stop.is_set():
            self._notifier.extend_timeout(text)

    async def _serve(self, segmenter: Segmenter, outbox: Outbox, stop: asyncio.Event) -> None:
        config, clock = self._loaded.config, self._clock
        messages = Messages(
            Topics(config.mqtt.topic_prefix, config.site),
            Provenance(
                site=config.site,
                software=lsm_monitor.__version__,
                config=self._loaded.digest,
                model=segmenter.identity,
            ),
            cap=config.cap,
            state_expires_s=_STATE_HEARTBEATS * config.mqtt.heartbeat_s,
        )
        overview = Overview(self.metrics)
        publisher = self._publisher(messages, outbox)
        tell_info = functools.partial(
            messages.info, device=segmenter.device, started_at=clock.now()
        )
        publisher.retain(tell_info(reason="start"))
        decisions = Decisions(
            episodes=outbox.episodes(),
            outbox=outbox,
            messages=messages,
            retain=publisher.retain,
            wake_publisher=publisher.wake,
            state_every_s=config.mqtt.heartbeat_s,
            metrics=self.metrics,
            clock=clock,
            on_states=overview.on_states,
            on_health=overview.on_health,
        )
        scheduler = FrameScheduler(
            max_batch=config.model.max_batch,
            batch_deadline_s=batch_deadline_s(segmenter.device),
            metrics=self.metrics,
            clock=clock,
        )
        fleet = CaptureFleet(
            command=capture_process.command(config.logging.level, config.logging.format),
            cameras_per_process=config.capture.cameras_per_process,
            patrol_parallel=config.capture.patrol_parallel,
            on_frame=scheduler.put,
            on_health=decisions.on_health,
            on_unusable=decisions.on_unusable,
            metrics=self.metrics,
            clock=clock,
        )
        cameras = Cameras(
            config,
            fleet=fleet,
            scheduler=scheduler,
            decisions=decisions,
            overview=overview,
            clock=clock,
        )
        decisions.on_attention = cameras.on_attention
        cameras.start()
        logger.info(
            "watching %d cameras with %s %s",
            sum(camera.enabled for camera in config.cameras.values()),
            segmenter.identity.name,
            segmenter.identity.version,
        )
        # The first beat: a hang in the very first batch must be noticed, too.
        self._progress.beat("inference")
        inference = self._inference(scheduler, segmenter, decisions, cameras)
        capture = ThreadService("capture", fleet.run, stop_timeout_s=_CAPTURE_STOP_S)
        status = status_services(
            config,
            model=segmenter.identity,
            overview=overview,
            standing_still=self._progress.standing_still,
            metrics=self.metrics,
            clock=clock,
        )
        self._reloader = Reloader(
            self._loaded,
            environ=self._environ,
            adopt=functools.partial(self._adopt, cameras, messages),
            on_result=lambda _, problem: publisher.retain(
                tell_info(reason="reload", problem=problem)
            ),
            notifier=self._notifier,
            metrics=self.metrics,
            clock=clock,
        )
        readiness = Readiness(overview, notifier=self._notifier, on_ready=self._on_ready)
        await run_services(
            [
                Stage([publisher]),
                Stage([*status, readiness, self._reloader], _NEVER_GIVE_UP),
                Stage([inference]),
                Stage([capture], _NEVER_GIVE_UP),
            ],
            stop=stop,
            notifier=self._notifier,
            progress=self._progress,
            metrics=self.metrics,
            clock=clock,
        )

    def _publisher(self, messages: Messages, outbox: Outbox) -> Publisher:
        config = self._loaded.config
        return Publisher(
            config=config.mqtt,
            client_id=client_id_of(config),
            birth=messages.status(online=True),
            last_will=messages.status(online=False),
            outbox=outbox,
            stats=lambda: messages.stats(self.metrics.snapshot(), sent_at=self._clock.now()),
            metrics=self.metrics,
            clock=self._clock,
        )

    def _adopt(self, cameras: Cameras, messages: Messages, loaded: LoadedConfig) -> Changes:
        """Go over to a new configuration; what needs a restart stays as it is, and is said."""
        # The secrets of before, too: connections that are closing may still speak of them.
        self._secrets |= set(revealed(loaded.config))
        logging_config = loaded.config.logging
        logs.configure(
            level=logging_config.level,
            fmt=logging_config.format,
            redact=Redactor(self._secrets).redact,
        )
        messages.use_config(loaded.digest)
        return cameras.adopt(loaded.config)

    def _inference(
        self,
        scheduler: FrameScheduler,
        segmenter: Segmenter,
        decisions: Decisions,
        cameras: Cameras,
    ) -> ThreadService:
        def on_tick() -> None:
            decisions.on_tick()
            self._progress.beat("inference")

        worker = InferenceWorker(
            scheduler=scheduler,
            segmenter=segmenter,
            on_mask=decisions.on_mask,
            on_tick=on_tick,
            on_stretch=cameras.stretch,
            metrics=self.metrics,
            clock=self._clock,
        )
        return ThreadService("inference", worker.run, stop_timeout_s=_INFERENCE_DEADLINE_S)


def client_id_of(config: MonitorConfig) -> str:
    """Return who we are at the broker: configured, or the site on this host."""
    return config.mqtt.client_id or f"lsm-{config.site}-{socket.gethostname()}"


def store_limits(config: MonitorConfig) -> StoreLimits:
    """Return how much the outbox may hold."""
    return StoreLimits(
        max_bytes=config.store.max_mb * 1024 * 1024,
        event_expiry_s=config.mqtt.event_expiry_s,
        history_days=config.store.history_days,
        history_events=config.store.history_events,
    )


def _ready_segmenter(model: ModelConfig, on_progress: Callable[[str], None]) -> Segmenter:
    """Open the model and run it once: the first frame should not wait for that."""
    segmenter = open_segmenter(model, max_batch=model.max_batch, on_progress=on_progress)
    segmenter.warm_up()
    return segmenter
