"""The newest judged picture of each camera, small, with where the model saw water in it.

The inference thread only leaves a reference here. A thread of the gallery shrinks the picture
and keeps it as a JPEG, which is a fifteenth of its pixels: two hundred cameras fit into 20 MB.
While nobody looks it does that for each camera once a minute, so that whoever opens the page
sees all of them at once; while somebody does, for each judged picture. What is drawn into a
picture is drawn when it is asked for, once per picture.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.clock import Clock
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, WaterMask

MAX_SIDE_PX = 960
_JPEG_QUALITY = 80
_WAITING = 16
"""Full pictures that wait to be shrunk; 6 MB each at 1080p."""
_DRAWN = 256
"""Pictures that were drawn into and are kept, for the next who asks; some 20 MB."""
_LOOKED_AT_S = 60.0
"""So long after the last question somebody is still looking."""
_UNWATCHED_EVERY_S = 60.0
_WAIT_S = 0.2
"""How soon a stop is noticed."""

Kind = Literal["overlay", "raw", "mask"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A judged picture.

    Attributes:
        version: Changes with every picture of the camera.
        taken_at: When the camera took it, timezone-aware UTC.
        jpeg: At most ``MAX_SIDE_PX`` on its longer side.
        size_wh: Of the JPEG, in pixels.
        mask_hw: Height and width of the mask.
        packed_mask: The mask, eight pixels per byte.
    """

    version: str
    taken_at: datetime
    jpeg: bytes
    size_wh: tuple[int, int]
    mask_hw: tuple[int, int]
    packed_mask: npt.NDArray[np.uint8]

    @property
    def water(self) -> npt.NDArray[np.bool_]:
        """Where the model saw water: (h, w) bool, in the picture's aspect ratio."""
        height, width = self.mask_hw
        bits = np.unpackbits(self.packed_mask, count=height * width)
        return bits.reshape(height, width).astype(np.bool_)


class Gallery:
    """Takes pictures from the inference thread and shows them to others. Thread-safe.

    Args:
        metrics: Counts pictures.
        clock: Monotonic time.

    Attributes:
        on_new: Called, in the gallery's thread, after a camera got another picture.
    """

    def __init__(self, *, metrics: Metrics, clock: Clock) -> None:
        self.on_new: Callable[[], None] = lambda: None
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._has_work = threading.Event()
        self._waiting: OrderedDict[CameraId, tuple[Frame, WaterMask]] = OrderedDict()
        self._kept: dict[CameraId, Picture] = {}
        self._taken_s: dict[CameraId, float] = {}
        self._drawn: OrderedDict[tuple[CameraId, str, Kind], bytes] = OrderedDict()
        self._looked_s = float("-inf")

    def put(self, frame: Frame, mask: WaterMask) -> None:
        """Offer a judged frame; never waits, and may drop it."""
        camera_id, now_s = frame.stamp.camera_id, self._clock.monotonic_s()
        with self._lock:
            every_s = 0.0 if now_s - self._looked_s < _LOOKED_AT_S else _UNWATCHED_EVERY_S
            if now_s - self._taken_s.get(camera_id, float("-inf")) < every_s:
                self._metrics.pictures.labels("skipped").inc()
                return
            self._taken_s[camera_id] = now_s
            if self._waiting.pop(camera_id, None) or len(self._waiting) >= _WAITING:
                self._metrics.pictures.labels("dropped").inc()
            while len(self._waiting) >= _WAITING:
                gone, _ = self._waiting.popitem(last=False)
                self._taken_s.pop(gone, None)  # its next one is welcome
            self._waiting[camera_id] = (frame, mask)
        self._has_work.set()

    def run(self, stop: threading.Event) -> None:
        """Shrink and keep what is offered until ``stop`` is set."""
        while not stop.is_set():
            if not self._keep_next():
                self._has_work.clear()
                if not self._waiting:
                    self._has_work.wait(_WAIT_S)

    def looked(self) -> None:
        """Note that somebody is looking: every judged picture is kept from now on."""
        with self._lock:
            self._looked_s = self._clock.monotonic_s()

    def newest(self, camera_id: CameraId) -> Picture | None:
        """Return a camera's newest picture; ``None`` before the first."""
        with self._lock:
            return self._kept.get(camera_id)

    def versions(self) -> dict[CameraId, str]:
        """Return the version of each camera's newest picture."""
        with self._lock:
            return {camera_id: picture.version for camera_id, picture in self._kept.items()}

    def keep_only(self, camera_ids: Collection[CameraId]) -> None:
        """Forget the pictures of all other cameras."""
        with self._lock:
            for camera_id in self._kept.keys() - set(camera_ids):
                del self._kept[camera_id]
                self._taken_s.pop(camera_id, None)

    def jpeg(self, camera_id: CameraId, picture: Picture, kind: Kind) -> bytes:
        """Return ``picture`` as somebody wants to see it; takes milliseconds the first time."""
        if kind == "raw":
            return picture.jpeg
        key = (camera_id, picture.version, kind)
        with self._lock:
            if key in self._drawn:
                self._drawn.move_to_end(key)
                return self._drawn[key]
        drawn = _with_water(picture) if kind == "overlay" else _mask_only(picture)
        with self._lock:
            self._drawn[key] = drawn
            while len(self._drawn) > _DRAWN:
                self._drawn.popitem(last=False)
        return drawn

    def _keep_next(self) -> bool:
        """Shrink and keep one picture; return whether there was one."""
        with self._lock:
            if not self._waiting:
                return False
            camera_id, (frame, mask) = self._waiting.popitem(last=False)
        picture = _small(frame, mask)
        with self._lock:
            self._kept[camera_id] = picture
        self._metrics.pictures.labels("kept").inc()
        self.on_new()
        return True


def _small(frame: Frame, mask: WaterMask) -> Picture:
    height, width = frame.image.shape[:2]
    scale = min(1.0, MAX_SIDE_PX / max(height, width))
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(frame.image, size_wh, interpolation=cv2.INTER_AREA)
    water = mask.probability >= mask.threshold
    stamp = frame.stamp
    return Picture(
        version=f"{stamp.decoded_at.timestamp():.3f}-{stamp.stream_epoch}.{stamp.sequence}",
        taken_at=stamp.decoded_at,
        jpeg=_encoded(cv2.cvtColor(image, cv2.COLOR_RGB2BGR)),
        size_wh=size_wh,
        mask_hw=(water.shape[0], water.shape[1]),
        packed_mask=np.packbits(water),
    )


def _with_water(picture: Picture) -> bytes:
    bgr = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), cv2.IMREAD_COLOR)
    rgb = np.asarray(cv2.cvtColor(np.asarray(bgr), cv2.COLOR_BGR2RGB), np.uint8)
    drawn = draw_overlay(rgb, water=picture.water)
    return _encoded(cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))


def _mask_only(picture: Picture) -> bytes:
    mask = 255 * picture.water.astype(np.uint8)
    return _encoded(cv2.resize(mask, picture.size_wh, interpolation=cv2.INTER_NEAREST))


def _encoded(image: cv2.typing.MatLike) -> bytes:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return bytes(data)
