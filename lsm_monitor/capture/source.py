"""What a camera's video is opened from, and what comes out of it.

A source is read by one thread and used once: when it fails it is closed, and a new one is
opened. It already keeps only one picture per interval, because whether a packet is decoded at
all depends on whether its picture is due.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import SecretStr

from lsm_monitor.capture.redact import redact_url
from lsm_monitor.config.cameras import DEVICE_PREFIX, CameraConfig
from lsm_monitor.types import CameraId


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """How to open one camera's video; the part of its configuration that capture needs.

    Attributes:
        camera_id: Key of the camera in the configuration.
        url: Address without userinfo, ``v4l2:`` and a device, or the path of a file or folder.
        username: User at the camera.
        password: Password at the camera.
        transport: How RTP travels.
        decode: ``keyframes`` decodes only those, on addresses; files are decoded completely.
        interval_s: Time between two kept pictures.
        open_timeout_s: Longest wait for an answer.
        read_timeout_s: A longer silence is a stall. Also bounds how long a stop may take.
        kind: What an http(s):// address gives; ``auto`` goes by its content type.
        tls_verify: Whether the camera's certificate is checked.
        tls_ca_file: Authority to check it against; ``None`` is the system's.
        hwaccel: Device to decode on; ``auto`` takes the first that works, ``none`` is software.
    """

    camera_id: CameraId
    url: str
    username: str | None
    password: SecretStr | None
    transport: Literal["tcp", "udp"]
    decode: Literal["keyframes", "all"]
    interval_s: float
    open_timeout_s: float
    read_timeout_s: float
    kind: Literal["auto", "snapshot", "mjpeg", "hls"] = "auto"
    tls_verify: bool = False
    tls_ca_file: Path | None = None
    hwaccel: str = "none"

    @classmethod
    def from_config(cls, camera_id: CameraId, config: CameraConfig) -> Self:
        """Return what ``config`` says about the source."""
        return cls(
            camera_id=camera_id,
            url=config.url,
            username=config.username,
            password=config.password,
            transport=config.transport,
            decode=config.decode,
            interval_s=config.interval_s,
            open_timeout_s=config.open_timeout_s,
            read_timeout_s=config.read_timeout_s,
            kind=config.source,
            tls_verify=config.tls_verify,
            tls_ca_file=config.tls_ca_file,
            hwaccel=config.hwaccel,
        )

    @classmethod
    def for_evidence(cls, camera_id: CameraId, config: CameraConfig) -> Self:
        """Return where pictures for people come from: the main stream, if one is named."""
        spec = cls.from_config(camera_id, config)
        return spec if config.evidence_url is None else replace(spec, url=config.evidence_url)

    @property
    def is_network(self) -> bool:
        """Whether ``url`` is an address and not a path."""
        return "://" in self.url

    @property
    def is_rtsp(self) -> bool:
        """Whether it is asked for by RTSP, with or without TLS."""
        return self.url.startswith(("rtsp://", "rtsps://"))

    @property
    def is_http(self) -> bool:
        """Whether it is asked for by HTTP, with or without TLS."""
        return self.url.startswith(("http://", "https://"))

    @property
    def device(self) -> str | None:
        """Path of the camera device that is plugged into this machine, or ``None``."""
        is_device = self.url.startswith(DEVICE_PREFIX)
        return self.url.removeprefix(DEVICE_PREFIX) if is_device else None

    @property
    def is_live(self) -> bool:
        """Whether it is a camera, and not a file or folder: what it sends never comes again."""
        return self.is_network or self.device is not None

    @property
    def phase(self) -> float:
        """Where in each interval its pictures lie, [0, 1): cameras share the time between them.

        What was recorded has no others to wait for.
        """
        return zlib.crc32(self.camera_id.encode()) / 2**32 if self.is_live else 0.0

    @property
    def display_url(self) -> str:
        """``url`` as it may stand in a log."""
        return redact_url(self.url)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One kept picture, before it is stamped.

    Attributes:
        pts_s: Presentation time in seconds from the start of the stream, or ``None``.
        sequence: Number of pictures the camera delivered before this one.
        image: (H, W, 3) uint8, RGB, C-contiguous; belongs to the receiver.
    """

    pts_s: float | None
    sequence: int
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source has learnt about its video so far.

    Attributes:
        codec: FFmpeg's name of the codec, such as ``h264``; ``images`` for a folder.
        fps: Pictures per second as they arrive; ``None`` before the second one.
        keyframe_interval_s: Longest time between two key frames; ``None`` before the second.
        has_timestamps: Whether any picture carried a presentation time.
        decoder: ``software``, or the device that decodes, such as ``cuda``.
        decoder_reason: Why it is software although a device was asked for; else empty.
        stated_s: Length that a recording says it has; ``None`` when it does not say.
        decoded_s: Time of the newest decoded picture, kept or not; ``None`` without one.
    """

    codec: str
    fps: float | None
    keyframe_interval_s: float | None
    has_timestamps: bool
    decoder: str = "software"
    decoder_reason: str = ""
    stated_s: float | None = None
    decoded_s: float | None = None


class Source(Protocol):
    """An open source. Not thread-safe: one thread owns it, from opening to closing."""

    def pictures(self, stop: threading.Event) -> Iterator[Picture]:
        """Yield one picture per interval; returns when ``stop`` is set.

        ``stop`` is looked at after every packet and ends every wait. A read that gets no data
        cannot be interrupted: it ends by itself after the read time-out.

        Raises:
            SourceStalledError: No usable picture for too long.
            SourceEndedError: The other side hung up, or the file is over.
            SourceError: The video cannot be used any more.
        """
        ...

    def retime(self, interval_s: float) -> None:
        """Yield one picture per ``interval_s`` from now on; may be called from any thread."""
        ...

    def facts(self) -> SourceFacts:
        """Return what is known by now."""
        ...

    def close(self) -> None:
        """Free connection and decoder; idempotent."""
        ...
