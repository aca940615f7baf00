"""What the capture tests share: a street, how to open it, and someone who reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import SecretStr

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.source import Picture, SourceSpec
from lsm_monitor.clock import Clock, SystemClock
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId

PASSWORD = "p@ss/w:o?r#d% é'\""
FPS = 10


def street(shift_px: int, size_wh: tuple[int, int] = (128, 96)) -> npt.NDArray[np.uint8]:
    """A picture with texture and colour that moves."""
    y, x = np.mgrid[0 : size_wh[1], 0 : size_wh[0]]
    wave = 120 + 60 * np.sin((x + shift_px) / 5.0) + 40 * np.cos(y / 7.0)
    return np.stack([wave, wave * 0.8, 255 - wave], axis=-1).clip(0, 255).astype(np.uint8)


def spec_of(camera: RtspServer) -> SourceSpec:
    return SourceSpec(
        camera_id=CameraId("bridge"),
        url=camera.url,
        username="admin",
        password=SecretStr(PASSWORD),
        transport="tcp",
        decode="keyframes",
        interval_s=0.1,
        open_timeout_s=0.6,
        read_timeout_s=0.6,
    )


class FastClock(SystemClock):
    """The real clock, a hundred times as fast."""

    def monotonic_s(self) -> float:
        return 100.0 * super().monotonic_s()


class Reader:
    """Opens a source and reads it; everything a test asks about is kept."""

    def __init__(self, spec: SourceSpec, clock: Clock | None = None) -> None:
        self.spec = spec
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.stop = threading.Event()
        self.pictures: list[Picture] = []

    def __iter__(self) -> Iterator[Picture]:
        source = open_source(self.spec, metrics=self.metrics, clock=self.clock)
        try:
            for picture in source.pictures(self.stop):
                self.pictures.append(picture)
                yield picture
        finally:
            source.close()

    def error(self) -> SourceError:
        """Read to the end and return why it ended."""
        with pytest.raises(SourceError) as caught:
            list(self)
        return caught.value

    def received(self) -> float:
        return self.metrics.snapshot()[
            'lsm_camera_frames_total{camera="bridge",stage="received"}'
        ]

    def skipped(self, reason: str) -> float:
        key = f'lsm_camera_packets_skipped_total{{camera="bridge",reason="{reason}"}}'
        return self.metrics.snapshot().get(key, 0.0)


def open_files() -> int:
    """Return how many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
