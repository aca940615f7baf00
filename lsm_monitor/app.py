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
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime

import lsm_monitor
from lsm_monitor.capture.camera import CameraCapture
from lsm_monitor.capture.mailbox import LatestMailbox
from lsm_monitor.capture.quality import QualityRules
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import Clock, SystemClock
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import CameraConfig, ModelConfig, MonitorConfig
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
from lsm_monitor.runtime import state_dir
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.judging import batch_deadline_s, judge_of, open_segmenter
from lsm_monitor.runtime.progress import Progress
from lsm_monitor.runtime.service_group import Stage, run_services
from lsm_monitor.runtime.supervisor import RestartPolicy, Service
from lsm_monitor.runtime.systemd import Notifier
from lsm_monitor.runtime.threads import ThreadService
from lsm_monitor.types import CameraHealth, CameraId, Frame, HealthCode, HealthState

logger = logging.getLogger(__name__)

_INFERENCE_DEADLINE_S = 10.0
"""A batch that takes longer than this is stuck; the watchdog is then no longer fed."""
_NEVER_GIVE_UP = RestartPolicy(limit=None)
"""A fault of ours that one camera brings out must not end the watch over the others."""
_CAMERA_STOP_S = 3.0
"""A camera thread inside a silent read ends with its read time-out; the exit does not wait."""
_MAX_AGE_INTERVALS = 3.0
"""The newest frame of a live camera is at most one interval old; an older one is history."""


async def run_until_signalled(loaded: LoadedConfig, environ: Mapping[str, str]) -> None:
    """Run the daemon until SIGTERM or SIGINT, or until it cannot go on.

    Raises:
        LsmMonitorError: It could not start, or a service kept failing.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Daemon(loaded, environ=environ).run(stop)


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
        self.metrics = Metrics()

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
        cameras = {CameraId(n): c for n, c in config.cameras.items() if c.enabled}
        messages = Messages(
            Topics(config.mqtt.topic_prefix, config.site),
            Provenance(
                site=config.site,
                software=lsm_monitor.__version__,
                config=self._loaded.digest,
                model=segmenter.identity,
            ),
            config.cap,
        )
        publisher = self._publisher(messages, outbox)
        publisher.retain(
            messages.info(device=segmenter.device, started_at=clock.now(), reason="start")
        )
        episodes = outbox.episodes()
        decisions = Decisions(
            judges={n: judge_of(n, camera, episodes=episodes) for n, camera in cameras.items()},
            outbox=outbox,
            messages=messages,
            retain=publisher.retain,
            wake_publisher=publisher.wake,
            state_every_s=config.mqtt.heartbeat_s,
            metrics=self.metrics,
            clock=clock,
        )
        decisions.close_abandoned(episodes)
        capture, inference = self._frame_services(cameras, segmenter, decisions)
        logger.info(
            "watching %d cameras with %s %s; %d episodes open from before",
            len(cameras),
            segmenter.identity.name,
            segmenter.identity.version,
            len(episodes),
        )
        # The first beat: a hang in the very first batch must be noticed, too.
        self._progress.beat("inference")
        await run_services(
            [Stage([publisher]), Stage([inference]), Stage(capture, _NEVER_GIVE_UP)],
            stop=stop,
            on_started=self._started,
            notifier=self._notifier,
            progress=self._progress,
            metrics=self.metrics,
            clock=clock,
        )

    def _started(self) -> None:
        self._notifier.ready()
        enabled = sum(camera.enabled for camera in self._loaded.config.cameras.values())
        self._notifier.status(f"watching {enabled} cameras")
        self._on_ready()

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

    def _frame_services(
        self,
        cameras: Mapping[CameraId, CameraConfig],
        segmenter: Segmenter,
        decisions: Decisions,
    ) -> tuple[list[Service], Service]:
        """Return the services of the cameras and the one that judges their frames."""
        arrived = threading.Event()
        mailboxes = {n: LatestMailbox[Frame](on_put=arrived.set) for n in cameras}
        scheduler = FrameScheduler(
            {n: mailbox.take_nowait for n, mailbox in mailboxes.items()},
            arrived=arrived,
            max_age_s={n: _MAX_AGE_INTERVALS * c.interval_s for n, c in cameras.items()},
            max_batch=self._loaded.config.model.max_batch,
            batch_deadline_s=batch_deadline_s(segmenter.device),
            metrics=self.metrics,
            clock=self._clock,
        )
        capture: list[Service] = [
            self._camera_service(n, camera, mailboxes[n], decisions)
            for n, camera in cameras.items()
        ]

        def on_tick() -> None:
            decisions.on_tick()
            self._progress.beat("inference")

        worker = InferenceWorker(
            scheduler=scheduler,
            segmenter=segmenter,
            on_mask=decisions.on_mask,
            on_tick=on_tick,
            metrics=self.metrics,
            clock=self._clock,
        )
        inference = ThreadService("inference", worker.run, stop_timeout_s=_INFERENCE_DEADLINE_S)
        return capture, inference

    def _camera_service(
        self,
        camera_id: CameraId,
        camera: CameraConfig,
        mailbox: LatestMailbox[Frame],
        decisions: Decisions,
    ) -> Service:
        capture = CameraCapture(
            spec=SourceSpec.from_config(camera_id, camera),
            backoff_max_s=camera.backoff_max_s,
            rules=QualityRules(),
            mailbox=mailbox,
            metrics=self.metrics,
            clock=self._clock,
            on_health=decisions.on_health,
            on_unusable=decisions.on_unusable,
        )
        return ThreadService(
            f"camera[{camera_id}]",
            capture.run,
            stop_timeout_s=_CAMERA_STOP_S,
            on_fault=lambda: decisions.on_health(_faulty(camera_id, self._clock.now())),
        )


def _faulty(camera_id: CameraId, now: datetime) -> CameraHealth:
    detail = "a fault of lsm-monitor itself; the log has it"
    return CameraHealth(camera_id, HealthState.OFFLINE, (HealthCode.INTERNAL,), detail, now, 0)


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
