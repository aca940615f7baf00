"""Pictures of cameras on MQTT: of each event, and now for whoever asks.

What is asked for comes from the main stream, where one is named. Each in a thread of its own
that no exit waits for: one that hangs in the video library is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.errors import CommandError, LsmMonitorError
from lsm_monitor.evidence.jpeg import jpeg_of
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.evidence.pictures import EventPictures
from lsm_monitor.evidence.privacy import hide
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.live_settings import LiveSettings
from lsm_monitor.types import CameraId, OutboundMessage

MAX_BYTES = 200_000
_PARALLEL = 4
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
        self._places = threading.Semaphore(_PARALLEL)
        self._closing = threading.Event()

    def close(self) -> None:
        """Give up what is being taken."""
        self._closing.set()

    async def take(self, camera_id: CameraId) -> str:
        """Publish a picture of the camera with its zones; return what was done.

        Raises:
            CommandError: The command was taken back.
            SourceError: The camera gave none.
        """
        if not self._places.acquire(blocking=False):
            msg = "others are being taken, or hang; try again in a minute"
            raise CommandError(msg)
        loop = asyncio.get_running_loop()
        taken: asyncio.Future[bytes] = loop.create_future()
        threading.Thread(
            target=self._take, args=(camera_id, loop, taken), name="snapshot", daemon=True
        ).start()
        jpeg = await taken
        topic = self._topics.camera_snapshot(camera_id)
        self._publish(_message(topic, jpeg, self._expires_s))
        return f"published, {len(jpeg)} bytes"

    def _take(
        self,
        camera_id: CameraId,
        loop: asyncio.AbstractEventLoop,
        taken: asyncio.Future[bytes],
    ) -> None:
        """Body of a snapshot's thread."""
        failure: LsmMonitorError = CommandError(f"camera {camera_id!r}: it failed; see the log")
        jpeg = None
        try:
            jpeg = self._jpeg(camera_id)
        except LsmMonitorError as exc:
            failure = exc
        finally:
            self._places.release()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(_settle, taken, jpeg, failure)

    def _jpeg(self, camera_id: CameraId) -> bytes:
        config = self._settings.config
        camera = config.camera(camera_id)
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
        shown = hide(picture.image, config.evidence.blur, zones)
        return jpeg_of(draw_overlay(shown, zones=zones), max_bytes=MAX_BYTES)


class EventSnapshots:
    """Publishes the annotated picture of each event; called by the evidence desk.

    Args:
        topics: Where pictures go.
        publish: Publishes a message once; must not block.
        expires_s: How long a picture is worth keeping, in seconds.
    """

    def __init__(
        self, topics: Topics, publish: Callable[[OutboundMessage], None], expires_s: float
    ) -> None:
        self._topics = topics
        self._publish = publish
        self._expires_s = expires_s

    def __call__(self, camera_id: CameraId, pictures: EventPictures) -> None:
        """Publish the picture of an event, once it is drawn."""
        jpeg = pictures.snapshot
        if len(jpeg) > MAX_BYTES:
            jpeg = jpeg_of(pictures.overlay, max_bytes=MAX_BYTES)
        topic = self._topics.camera_snapshot(camera_id)
        self._publish(_message(topic, jpeg, self._expires_s))


def _message(topic: str, jpeg: bytes, expires_s: float) -> OutboundMessage:
    return OutboundMessage(topic, jpeg, qos=0, retain=True, expires_s=expires_s)


def _settle(taken: asyncio.Future[bytes], jpeg: bytes | None, failure: LsmMonitorError) -> None:
    if taken.done():  # given up
        return
    if jpeg is not None:
        taken.set_result(jpeg)
    else:
        taken.set_exception(failure)
