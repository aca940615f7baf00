"""The values that flow through the daemon, one per hop.

    Camera -> Frame -> WaterMask -> ZoneReading -> WaterState -> WaterEvent -> OutboundMessage

Every value is immutable and carries the :class:`FrameStamp` of the frame it came from, so
any number on the wire can be traced back to one decoded picture. Arrays are never written
to after construction. This module imports nothing but the standard library and NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

import numpy as np
import numpy.typing as npt

CameraId = NewType("CameraId", str)
ZoneId = NewType("ZoneId", str)


@dataclass(frozen=True, slots=True)
class FrameStamp:
    """Identity and time of one decoded picture.

    Attributes:
        camera_id: Key of the camera in the configuration.
        stream_epoch: Grows by one on every reconnect; ``sequence`` and ``pts_s`` are only
            comparable within one epoch.
        sequence: Number of pictures the camera delivered before this one in this epoch. A
            gap means that pictures were dropped on purpose to stay live.
        pts_s: Presentation time in seconds from the start of the stream, or ``None`` when
            the camera sends no timestamps.
        decoded_at: Wall clock at decode, timezone-aware UTC. For people and for MQTT.
        decoded_mono_s: Monotonic clock at decode, in seconds. For ages and latencies.
            ``replay`` puts the video's own clock into both.
    """

    camera_id: CameraId
    stream_epoch: int
    sequence: int
    pts_s: float | None
    decoded_at: datetime
    decoded_mono_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture: ``image`` is (H, W, 3) uint8, RGB, C-contiguous."""

    stamp: FrameStamp
    image: npt.NDArray[np.uint8]


class HealthState(StrEnum):
    """Whether a camera delivers pictures that can be judged. Values are on the wire."""

    STARTING = "starting"
    USABLE = "usable"
    UNUSABLE = "unusable"
    OFFLINE = "offline"


class HealthCode(StrEnum):
    """Why a camera cannot be judged. Values are part of the MQTT contract."""

    # The connection.
    DNS_FAILED = "DNS_FAILED"
    CONNECTION_REFUSED = "CONNECTION_REFUSED"
    HOST_UNREACHABLE = "HOST_UNREACHABLE"
    OPEN_TIMEOUT = "OPEN_TIMEOUT"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    PROTOCOL_ERROR = "PROTOCOL_ERROR"
    # The video.
    NO_VIDEO = "NO_VIDEO"
    INVALID_DATA = "INVALID_DATA"
    STALLED = "STALLED"
    ENDED = "ENDED"
    # The picture.
    DARK = "DARK"
    OVEREXPOSED = "OVEREXPOSED"
    BLANK = "BLANK"
    FROZEN = "FROZEN"
    BLURRED = "BLURRED"
    OBSTRUCTED = "OBSTRUCTED"
    CAMERA_MOVED = "CAMERA_MOVED"
    # The picture can be judged, and there is something to say about it.
    LENS_DIRTY = "LENS_DIRTY"
    INFRARED = "INFRARED"
    # Ourselves.
    HUNG = "HUNG"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """What is known about one camera's video now.

    Attributes:
        camera_id: Key of the camera in the configuration.
        state: See :class:`HealthState`.
        codes: Why, when ``state`` is not ``usable``; sorted.
        detail: One sentence for a person, free of credentials; empty when all is well.
        since: When ``state`` began, timezone-aware UTC.
        reconnects: Times the camera had to be opened again since the daemon started.
        notes: What is worth knowing about pictures that are judged all the same; sorted.
    """

    camera_id: CameraId
    state: HealthState
    codes: tuple[HealthCode, ...]
    detail: str
    since: datetime
    reconnects: int
    notes: tuple[HealthCode, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class WaterMask:
    """Where the model sees water in one frame.

    Attributes:
        stamp: Stamp of the frame.
        probability: (h, w) float32 in [0, 1], in the frame's aspect ratio. At most
            ``inference.segmenter.MASK_MAX_SIDE_PX`` on its longer side: finer than the
            model resolves, at a fraction of a 1080p frame's memory per camera.
        threshold: Probability from which a pixel counts as water; the bundle's calibration.
        inference_ms: Time from frame to mask, in milliseconds, for the batch it was part of.
        road: (h, w) bool, where the picture shows road, or would without the water; ``None``
            from a model that knows water alone.
    """

    stamp: FrameStamp
    probability: npt.NDArray[np.float32]
    threshold: float
    inference_ms: float
    road: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class DepthInterval:
    """How deep the water of a zone is, as far as its gauges tell.

    Attributes:
        min_cm: Height of the highest mark that is under water; 0 when none is.
        max_cm: Height of the lowest mark above it that is dry; ``None`` when none is.
        source: Which gauges these marks belong to, such as ``gauge:kerb-a``.
    """

    min_cm: float
    max_cm: float | None
    source: str


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """What one frame says about one zone.

    Attributes:
        stamp: Stamp of the frame.
        zone_id: Zone of the camera.
        instant_fraction: Share of the zone's pixels, or of those that are road, that are water
            in this frame, [0, 1].
        water_fraction: The same after smoothing over time, [0, 1].
        confidence: How much to believe it, [0.5, 1]: the model's mean certainty about the
            zone's pixels, less where this frame contradicts those before it, or one mark of
            a gauge another.
        area_m2: Smoothed water in square metres of road; ``None`` without ground points.
        depth: Smoothed depth; ``None`` when no gauge of the zone can be read.
    """

    stamp: FrameStamp
    zone_id: ZoneId
    instant_fraction: float
    water_fraction: float
    confidence: float
    area_m2: float | None = None
    depth: DepthInterval | None = None


class WaterLevel(StrEnum):
    """How bad it is, from nothing known to the worst. Values are part of the MQTT contract."""

    UNKNOWN = "unknown"
    DRY = "dry"
    WET = "wet"
    PONDING = "ponding"
    FLOODED = "flooded"
    SEVERE = "severe"


class Trend(StrEnum):
    """Which way the water goes. Values are part of the MQTT contract."""

    RISING = "rising"
    STEADY = "steady"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class NextLevel:
    """When the next level's threshold would be reached if the water went on as now.

    Attributes:
        level: The level that comes next: a higher one when rising, a lower one when falling.
        eta_s_min: At the fastest rate that the readings allow, in seconds.
        eta_s_max: At the slowest; ``None`` when they allow that it never comes.
    """

    level: WaterLevel
    eta_s_min: float
    eta_s_max: float | None


@dataclass(frozen=True, slots=True)
class WaterTrend:
    """How fast a zone's water changes; robust slopes over the same window.

    Attributes:
        direction: See :class:`Trend`.
        pp_per_min: Percent points of the zone per minute.
        cm_per_min: Of the middle of the depth interval; ``None`` without one.
        m2_per_min: Of the area; ``None`` without one.
        window_s: Time from the first to the last reading that the rates rest on.
        is_rapid: The rise is dangerously fast.
        next_level: ``None`` when steady, and at the outermost level.
    """

    direction: Trend
    pp_per_min: float
    cm_per_min: float | None
    m2_per_min: float | None
    window_s: float
    is_rapid: bool
    next_level: NextLevel | None


class ReasonCode(StrEnum):
    """Why a level or an event is what it is. Values are part of the MQTT contract."""

    ABOVE_OPEN_THRESHOLD = "ABOVE_OPEN_THRESHOLD"
    BELOW_CLOSE_THRESHOLD = "BELOW_CLOSE_THRESHOLD"
    PERSISTENT = "PERSISTENT"
    LEVEL_UP = "LEVEL_UP"
    LEVEL_DOWN = "LEVEL_DOWN"
    RAPID_RISE = "RAPID_RISE"
    NO_USABLE_FRAMES = "NO_USABLE_FRAMES"
    FRAMES_RETURNED = "FRAMES_RETURNED"
    NOT_WATCHED = "NOT_WATCHED"


@dataclass(frozen=True, slots=True)
class WaterState:
    """What is believed about one zone now.

    Attributes:
        camera_id: Key of the camera in the configuration.
        zone_id: Zone of the camera.
        level: Level after hysteresis and dwell; ``unknown`` without usable frames.
        water_fraction: Smoothed share of the zone's pixels that are water, in [0, 1];
            ``None`` while the level is ``unknown``, and before the first usable frame.
        confidence: See :class:`ZoneReading`; ``None`` when ``water_fraction`` is.
        since: When ``level`` began, as far as this process has seen; timezone-aware UTC.
        observed_at: When the newest usable frame was taken, or ``None`` before the first.
        area_m2: See :class:`ZoneReading`; ``None`` when ``water_fraction`` is.
        depth: See :class:`ZoneReading`; ``None`` when ``water_fraction`` is.
        trend: ``None`` while there are too few readings, and when ``water_fraction`` is.
        is_corroborated: Enough cameras that watch the same place say the same.
    """

    camera_id: CameraId
    zone_id: ZoneId
    level: WaterLevel
    water_fraction: float | None
    confidence: float | None
    since: datetime
    observed_at: datetime | None
    area_m2: float | None = None
    depth: DepthInterval | None = None
    trend: WaterTrend | None = None
    is_corroborated: bool = False


class EventKind(StrEnum):
    """What an event says about its episode. Values are part of the MQTT contract."""

    OPEN = "open"
    UPDATE = "update"
    CLOSE = "close"
    STALE = "stale"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Episode:
    """One flood at one zone, from ``open`` to ``close``: what must survive a restart.

    Attributes:
        event_id: UUIDv7, the same in every event of the episode.
        camera_id: Key of the camera in the configuration.
        zone_id: Zone of the camera.
        seq: Number of the newest event, from 1.
        level: Newest level at or above ``ponding`` that an event told.
        is_stale: No usable frames at the moment.
        opened_at: Acquisition time of the frame that opened it, timezone-aware UTC.
        peak_fraction: Largest smoothed water fraction so far, [0, 1].
    """

    event_id: UUID
    camera_id: CameraId
    zone_id: ZoneId
    seq: int
    level: WaterLevel
    is_stale: bool
    opened_at: datetime
    peak_fraction: float


@dataclass(frozen=True, slots=True)
class EvidenceWindow:
    """The frames a decision rests on: aware UTC times and counts.

    They run from the previous event of the zone; for ``open``, from the frame since which
    the smoothed fraction has been at the opening level. ``frames`` counts those that
    arrived, ``frames_usable`` those that could be judged.
    """

    start: datetime
    end: datetime
    frames: int
    frames_usable: int


@dataclass(frozen=True, slots=True)
class WaterEvent:
    """One message about one episode.

    Attributes:
        kind: See :class:`EventKind`.
        episode: The episode *after* this event; its ``seq`` is the event's.
        state: Belief about the zone at the event.
        previous_level: Level before it.
        observed_at: Acquisition time of the frame that decided, timezone-aware UTC; for
            ``stale``, which no frame decides, the time at which that was noticed.
        closed_at: ``observed_at`` for ``close``, else ``None``.
        reasons: Why, most important first.
        evidence: See :class:`EvidenceWindow`.
        suppressed: Changes of the level since the previous event that no event told, because
            they came too soon after it.
    """

    kind: EventKind
    episode: Episode
    state: WaterState
    previous_level: WaterLevel
    observed_at: datetime
    closed_at: datetime | None
    reasons: tuple[ReasonCode, ...]
    evidence: EvidenceWindow
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class PromisedEvidence:
    """Files that will show what an event rests on, if the disk takes them.

    An event does not wait for them: the names are known before, the rest stands in the sidecar.

    Attributes:
        snapshot: The annotated picture, below the evidence folder; ``None``: none will be.
        clip: The video around it, likewise.
    """

    snapshot: str | None = None
    clip: str | None = None


class Verdict(StrEnum):
    """What an operator says an event was. Values are part of the MQTT contract."""

    TRUE_POSITIVE = "true_positive"
    WET_ONLY = "wet_only"
    REFLECTION = "reflection"
    SHADOW = "shadow"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Feedback:
    """An operator's verdict about one episode.

    Attributes:
        event_id: The episode's.
        verdict: See :class:`Verdict`.
        note: Free text; may be empty.
        by: Who says it; may be empty.
        at: When it arrived, timezone-aware UTC.
    """

    event_id: UUID
    verdict: Verdict
    note: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """An operator has seen an episode and takes care of it.

    Attributes:
        event_id: The episode's.
        by: Who says it; may be empty.
        at: When it arrived, timezone-aware UTC.
    """

    event_id: UUID
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model judged: stands in every event.

    Attributes:
        name: Name of the bundle.
        version: Version of the bundle.
        sha256: Hash of its weights file, hex.
        backend: Engine backend and precision, such as ``torch-fp32``.
    """

    name: str
    version: str
    sha256: str
    backend: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One MQTT message, ready to send.

    Attributes:
        topic: Where it goes.
        payload: What it says; empty and retained: what the broker keeps is removed.
        qos: 0 or 1.
        retain: Whether the broker keeps it for later subscribers.
        expires_s: How long the broker may keep or deliver it, in seconds; ``None``: for ever.
            MQTT 5 only: an older broker keeps it for ever.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    expires_s: float | None = None
