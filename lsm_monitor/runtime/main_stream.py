"""Pictures of main streams, taken a moment after an event that the substream has shown.

Each in a thread of its own that no exit waits for, and few at once: a city's network is not
there for evidence, and a camera that hangs in the video library is left behind.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from lsm_monitor.capture.grab import grab_picture
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import Clock
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId

logger = logging.getLogger(__name__)

_PARALLEL = 4
_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True, eq=False)
class MainPicture:
    """What came of it: ``image``, (H, W, 3) uint8 RGB, or a ``problem`` for a person."""

    image: npt.NDArray[np.uint8] | None
    taken_at: datetime
    problem: str = ""


class MainStreams:
    """Takes pictures; see :meth:`grab`.

    Args:
        clock: Time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places = threading.Semaphore(_PARALLEL)
        self._closing = threading.Event()

    def close(self) -> None:
        """Give up what is being taken."""
        self._closing.set()

    def grab(
        self, camera_id: CameraId, camera: CameraConfig, on_done: Callable[[MainPicture], None]
    ) -> bool:
        """Begin to take a picture; return whether there is a place for it.

        ``on_done`` is called once, in another thread.
        """
        if self._closing.is_set() or not self._places.acquire(blocking=False):
            return False
        spec = SourceSpec.for_evidence(camera_id, camera)
        threading.Thread(
            target=self._grab,
            args=(spec, on_done),
            name=f"evidence[{camera_id}]",
            daemon=True,
        ).start()
        return True

    def _grab(self, spec: SourceSpec, on_done: Callable[[MainPicture], None]) -> None:
        image, problem = None, "the daemon was stopped"
        try:
            picture = grab_picture(
                spec,
                stop=self._closing,
                metrics=Metrics(),  # not a picture of those that are judged
                clock=self._clock,
                patience_s=_PATIENCE_S,
            )
            image = None if picture is None else picture.image
        except SourceError as exc:
            # Not its text, which has the address: whoever may see evidence need not know it.
            problem = f"the main stream: {exc.code}"
            logger.warning("no picture of the main stream: %s", exc)
        finally:
            self._places.release()
        on_done(MainPicture(image, self._clock.now(), "" if image is not None else problem))
