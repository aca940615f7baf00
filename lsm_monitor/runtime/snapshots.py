"""A picture of a camera, now, for whoever asks by MQTT.

From the main stream, where one is named. A picture that cannot be taken in time costs the
answer; threads of their own, and few, so that a camera that hangs costs nothing else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import CommandError
from lsm_monitor.evidence.jpeg import jpeg_of
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.types import CameraId, OutboundMessage

MAX_BYTES = 200_000
_PARALLEL = 2
_PATIENCE_S = 20.0


class Snapshots:
    """Takes pictures; see :meth:`take`.

    Args:
        settings: Says how to open a camera, and where its zones are.
        topics: Where pictures go.
        publish: Publishes a message once.
        expires_s: How long a picture is worth keeping, in seconds.
        clock: Time.
    """

    def __init__(
        self,
        settings: LiveSettings,
        *,
        topics: Topics,
        publish: Callable[[OutboundMessage], None],
        expires_s: float,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._publish = publish
        self._expires_s = expires_s
        self._clock = clock
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="snapshot")
        self._closing = threading.Event()

    def close(self) -> None:
        """Give up what is being taken; a silent camera ends by its own time-outs."""
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def take(self, camera_id: CameraId) -> str:
        """Publish a picture of the camera with its zones; return what was done.

        Raises:
            CommandError: The command was taken back.
            SourceError: The camera gave none.
        """
        loop = asyncio.get_running_loop()
        jpeg = await loop.run_in_executor(self._threads, self._jpeg, camera_id)
        topic = self._topics.camera_snapshot(camera_id)
        self._publish(
            OutboundMessage(topic, jpeg, qos=0, retain=True, expires_s=self._expires_s)
        )
        return f"published, {len(jpeg)} bytes"

    def _jpeg(self, camera_id: CameraId) -> bytes:
        camera = self._settings.config.cameras[camera_id]
        picture = grab_picture(
            SourceSpec.for_evidence(camera_id, camera),
            stop=self._closing,
            metrics=Metrics(),  # not a picture of those that are judged
            clock=self._clock,
            patience_s=_PATIENCE_S,
        )
        if picture is None:
            msg = f"camera {camera_id!r} gave no picture"
            raise CommandError(msg)
        zones = [zone.points for zone in camera.zones.values()]
        return jpeg_of(draw_overlay(picture.image, zones=zones), max_bytes=MAX_BYTES)
