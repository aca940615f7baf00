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
    MOVED = "MOVED"
    # The picture can be judged, and there is something to say about it.
    LENS_DIRTY = "LENS_DIRTY"
    INFRARED = "INFRARED"
    # Ourselves.
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
    """

    stamp: FrameStamp
    probability: npt.NDArray[np.float32]
    threshold: float
    inference_ms: float


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """What one frame says about one zone.

    Attributes:
        stamp: Stamp of the frame.
        zone_id: Zone of the camera.
        instant_fraction: Share of the zone's pixels that are water in this frame, [0, 1].
        water_fraction: The same after smoothing over time, [0, 1].
        confidence: Mean certainty of the model about the zone's pixels, [0.5, 1].
    """

    stamp: FrameStamp
    zone_id: ZoneId
    instant_fraction: float
    water_fraction: float
    confidence: float


class WaterLevel(StrEnum):
    """How bad it is. Values are part of the MQTT contract."""

    UNKNOWN = "unknown"
    DRY = "dry"
    WET = "wet"
    PONDING = "ponding"
    FLOODED = "flooded"
    SEVERE = "severe"


class ReasonCode(StrEnum):
    """Why a level or an event is what it is. Values are part of the MQTT contract."""

    ABOVE_OPEN_THRESHOLD = "ABOVE_OPEN_THRESHOLD"
    BELOW_CLOSE_THRESHOLD = "BELOW_CLOSE_THRESHOLD"
    PERSISTENT = "PERSISTENT"
    LEVEL_UP = "LEVEL_UP"
    LEVEL_DOWN = "LEVEL_DOWN"
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
    """

    camera_id: CameraId
    zone_id: ZoneId
    level: WaterLevel
    water_fraction: float | None
    confidence: float | None
    since: datetime
    observed_at: datetime | None


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
        level: Newest level at or above ``ponding``.
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
    """

    kind: EventKind
    episode: Episode
    state: WaterState
    previous_level: WaterLevel
    observed_at: datetime
    closed_at: datetime | None
    reasons: tuple[ReasonCode, ...]
    evidence: EvidenceWindow


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
    """One MQTT message, ready to send."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
