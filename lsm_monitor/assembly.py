"""The parts of the daemon, put together; with ``app`` the only ones that know them all.

:func:`open_stores` is what survives a restart, :func:`assemble_speech` what speaks with the
broker, :func:`assemble_watch` what looks at the streets.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import lsm_monitor
from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.clock import Clock
from lsm_monitor.config.delivery import ReadingsConfig
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.evidence.hard_frames import HardFrames
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.history.history import HISTORY_FILE, History
from lsm_monitor.history.tiers import HistoryLimits
from lsm_monitor.inference.scheduler import FrameScheduler
from lsm_monitor.inference.segmenter_in_use import SegmenterInUse
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.announced import AnnouncedTopics
from lsm_monitor.publish.commands import Command
from lsm_monitor.publish.event_archive import EventArchive
from lsm_monitor.publish.homeassistant import HomeAssistant
from lsm_monitor.publish.inbox import Inbox
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.outbox_rows import StoreLimits
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime import capture_process
from lsm_monitor.runtime.announcer import Announcer
from lsm_monitor.runtime.camera_memories import CameraMemories
from lsm_monitor.runtime.cameras import Cameras, log_as
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.evidence_desk import EvidenceDesk
from lsm_monitor.runtime.judging import batch_deadline_s, corroboration_of
from lsm_monitor.runtime.live_settings import LiveSettings, effective
from lsm_monitor.runtime.main_stream import MainStreams
from lsm_monitor.runtime.overrides import RuntimeOverrides
from lsm_monitor.runtime.overview import Overview
from lsm_monitor.runtime.snapshots import EventSnapshots
from lsm_monitor.types import CameraId, Frame, ModelIdentity, WaterMask, WaterState
from lsm_monitor.web.editor import ConfigFiles
from lsm_monitor.web.gallery import Gallery
from lsm_monitor.web.page import Page, PageSources

OUTBOX_FILE = "outbox.sqlite3"
OVERRIDES_FILE = "runtime.json"
ANNOUNCED_FILE = "announced.json"
_LEFT_TO_THE_OUTBOX_BYTES = 64 * 2**20
STATE_HEARTBEATS = 3.0
"""A state that was not repeated so often is no longer one."""


@dataclass(frozen=True, slots=True)
class Stores:
    """What survives a restart."""

    folder: Path
    outbox: Outbox
    overrides: RuntimeOverrides
    announced: AnnouncedTopics
    memories: CameraMemories
    history: History
    evidence: EvidenceStore
    hard_frames: HardFrames | None


def open_stores(
    folder: Path, config: MonitorConfig, stack: ExitStack, *, metrics: Metrics, clock: Clock
) -> Stores:
    """Open everything in the state folder; ``stack`` closes it.

    Raises:
        StoreError: The folder cannot be read.
    """
    now = clock.now()
    limits = StoreLimits(
        max_bytes=config.store.max_mb * 1024 * 1024,
        event_expiry_s=config.mqtt.event_expiry_s,
        history_days=config.store.history_days,
        history_events=config.store.history_events,
    )
    outbox = Outbox.open(folder / OUTBOX_FILE, now=now, limits=limits, metrics=metrics)
    stack.callback(outbox.close)
    memories = CameraMemories(folder)
    memories.keep_only([CameraId(name) for name in config.cameras])
    return Stores(
        folder=folder,
        outbox=outbox,
        overrides=RuntimeOverrides.open(folder / OVERRIDES_FILE, now=now),
        announced=AnnouncedTopics.open(folder / ANNOUNCED_FILE, now=now),
        memories=memories,
        history=History(
            folder / HISTORY_FILE,
            limits=_history_limits(config.store.readings),
            metrics=metrics,
            clock=clock,
        ),
        evidence=EvidenceStore(folder, reserve_bytes=_LEFT_TO_THE_OUTBOX_BYTES),
        hard_frames=_hard_frames(folder, config.evidence, metrics),
    )


def _hard_frames(folder: Path, evidence: EvidenceConfig, metrics: Metrics) -> HardFrames | None:
    if evidence.hard_frames_per_day == 0:
        return None
    return HardFrames(
        folder,
        per_day=evidence.hard_frames_per_day,
        max_bytes=evidence.hard_frames_mb * 1024 * 1024,
        metrics=metrics,
    )


def _history_limits(readings: ReadingsConfig) -> HistoryLimits:
    return HistoryLimits(
        raw_s=readings.raw_hours * 3600,
        minute_s=readings.minute_days * 86400,
        quarter_hour_s=readings.quarter_hour_days * 86400,
        max_bytes=readings.max_mb * 1024 * 1024,
    )


@dataclass(frozen=True, slots=True)
class Speech:
    """What speaks with the broker; ``inbox`` is ``None`` when nobody listens."""

    topics: Topics
    messages: Messages
    publisher: Publisher
    announcer: Announcer
    home_assistant: HomeAssistant
    inbox: Inbox | None


def assemble_speech(
    loaded: LoadedConfig,
    *,
    model: ModelIdentity,
    stores: Stores,
    stats: Callable[[], bytes],
    metrics: Metrics,
    clock: Clock,
) -> Speech:
    """Return everything that publishes, and what commands come in by.

    Args:
        loaded: What is watched, and how the broker is reached.
        model: Which one judges.
        stores: What survives a restart.
        stats: Returns the payload of the topic ``stats``.
        metrics: Counts.
        clock: Time.
    """
    config = loaded.config
    topics = Topics(config.mqtt.topic_prefix, config.site)
    messages = Messages(
        topics,
        Provenance(
            site=config.site,
            software=lsm_monitor.__version__,
            config=loaded.digest,
            model=model,
        ),
        cap=config.cap,
        state_expires_s=STATE_HEARTBEATS * config.mqtt.heartbeat_s,
    )
    home_assistant = HomeAssistant(
        config.mqtt.discovery,
        topics,
        site=config.site,
        software=lsm_monitor.__version__,
        heartbeat_s=config.mqtt.heartbeat_s,
    )
    dropped = metrics.commands.labels("unknown", "dropped")
    inbox = Inbox(dropped.inc) if config.mqtt.commands else None
    birth_topic = home_assistant.birth_topic
    publisher = Publisher(
        config=config.mqtt,
        client_id=client_id_of(config),
        birth=messages.status(online=True),
        last_will=messages.status(online=False),
        outbox=stores.outbox,
        stats=lambda: messages.stats(stats()),
        metrics=metrics,
        clock=clock,
        announced=stores.announced,
        inbox=inbox,
        topic_filters=(*topics.command_filters, *([birth_topic] if birth_topic else [])),
    )
    announcer = Announcer(
        publisher=publisher,
        announced=stores.announced,
        topics=topics,
        home_assistant=home_assistant,
    )
    return Speech(topics, messages, publisher, announcer, home_assistant, inbox)


@dataclass(frozen=True, slots=True)
class Watch:
    """What looks at the streets and judges what it sees.

    Attributes:
        evidence: Makes evidence of events.
        on_mask: Takes each judged frame and its mask.
        writers: What keeps things for people, each in a thread of its own: name and body.
    """

    fleet: CaptureFleet
    scheduler: FrameScheduler
    decisions: Decisions
    cameras: Cameras
    overview: Overview
    evidence: EvidenceDesk
    on_mask: Callable[[Frame, WaterMask], None]
    writers: Mapping[str, Callable[[threading.Event], None]]


def assemble_watch(
    config: MonitorConfig,
    *,
    segmenter: SegmenterInUse,
    stores: Stores,
    speech: Speech,
    overview: Overview,
    on_capture_step: Callable[[], None],
    metrics: Metrics,
    clock: Clock,
) -> Watch:
    """Return everything between camera and outbox, but for the model and its thread."""

    def on_states(states: Sequence[WaterState]) -> None:
        overview.on_states(states)
        stores.history.record(states)

    evidence = EvidenceDesk(
        stores.evidence,
        config=config.evidence,
        open_ids=[episode.event_id for episode in stores.outbox.episodes()],
        on_snapshot=EventSnapshots(
            speech.topics, speech.publisher.tell, STATE_HEARTBEATS * config.mqtt.heartbeat_s
        ),
        main_streams=MainStreams(clock),
        metrics=metrics,
        clock=clock,
    )
    decisions = Decisions(
        episodes=stores.outbox.episodes(),
        outbox=stores.outbox,
        messages=speech.messages,
        retain=speech.publisher.retain,
        wake_publisher=speech.publisher.wake,
        state_every_s=config.mqtt.heartbeat_s,
        metrics=metrics,
        clock=clock,
        on_states=on_states,
        on_health=overview.on_health,
        corroboration=corroboration_of(config.places),
        evidence=evidence,
    )
    scheduler = FrameScheduler(
        max_batch=config.model.max_batch,
        batch_deadline_s=batch_deadline_s(segmenter.device),
        metrics=metrics,
        clock=clock,
    )
    fleet = CaptureFleet(
        command=capture_process.COMMAND,
        log_as=log_as(config.logging),
        cameras_per_process=config.capture.cameras_per_process,
        patrol_parallel=config.capture.patrol_parallel,
        on_frame=scheduler.put,
        on_health=decisions.on_health,
        on_unusable=decisions.on_unusable,
        memories=stores.memories,
        on_clip=evidence.on_clip,
        on_step=on_capture_step,
        metrics=metrics,
        clock=clock,
    )
    cameras = Cameras(
        effective(config, stores.overrides),
        triggers=stores.overrides.active_contexts(clock.now()),
        fleet=fleet,
        scheduler=scheduler,
        decisions=decisions,
        overview=overview,
        clock=clock,
    )
    decisions.on_attention = cameras.on_attention
    evidence.order_clip, evidence.camera_of = fleet.order_clip, cameras.camera
    writers = {"history": stores.history.run, "evidence": evidence.run}
    hard_frames = stores.hard_frames
    if hard_frames is not None:
        writers["hard_frames"] = hard_frames.run

    def on_mask(frame: Frame, mask: WaterMask) -> None:
        decisions.on_mask(mask, frame)
        if hard_frames is not None:
            hard_frames.offer(frame, mask)

    return Watch(fleet, scheduler, decisions, cameras, overview, evidence, on_mask, writers)


def assemble_page(
    settings: LiveSettings,
    *,
    stores: Stores,
    watch: Watch,
    obey: Callable[[Command], Awaitable[str]],
    files: ConfigFiles,
    environ: Mapping[str, str],
    metrics: Metrics,
    clock: Clock,
) -> Page:
    """Return the page, with what it shows and may change.

    Raises:
        ConfigError: The users file cannot be used.
    """
    config = settings.config
    return Page(
        config.http,
        gallery=Gallery(metrics=metrics, clock=clock),
        sources=PageSources(
            site=config.site,
            started_at=clock.now(),
            config=lambda: settings.config,
            overview=watch.overview,
            outbox=stores.outbox,
            archive=EventArchive(stores.folder / OUTBOX_FILE),
            obey=obey,
            history=stores.history,
            evidence=stores.evidence,
            files=files,
            environ=environ,
        ),
        metrics=metrics,
        clock=clock,
    )


def client_id_of(config: MonitorConfig) -> str:
    """Return who we are at the broker: configured, or the site on this host."""
    return config.mqtt.client_id or f"lsm-{config.site}-{socket.gethostname()}"
