"""The pictures that are kept of one event, as the bytes of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.config.evidence import Blur
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.evidence.privacy import hide

_QUALITY = 90
Zones = Sequence[Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True, eq=False)
class EventPictures:
    """What a person is shown of one decision.

    Attributes:
        overlay: (H, W, 3) uint8, RGB: the frame with water and zones drawn into it.
        snapshot: The same as JPEG.
        raw: The frame as JPEG.
        mask: PNG of the frame's size, 255 where the model saw water, else 0.
    """

    overlay: npt.NDArray[np.uint8]
    snapshot: bytes
    raw: bytes
    mask: bytes


def pictures_of(
    image: npt.NDArray[np.uint8], water: npt.NDArray[np.bool_], *, zones: Zones, blur: Blur
) -> EventPictures:
    """Return the pictures of one frame.

    Args:
        image: (H, W, 3) uint8, RGB; not written to.
        water: (h, w) bool, in the aspect ratio of ``image``.
        zones: Polygons with corners (x, y) in [0, 1].
        blur: What is hidden in all of them.
    """
    shown = hide(image, blur, zones)
    overlay = draw_overlay(shown, water=water, zones=zones)
    size_wh = (image.shape[1], image.shape[0])
    mask = cv2.resize(water.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) * 255
    return EventPictures(
        overlay=overlay,
        snapshot=stored_jpeg(overlay),
        raw=stored_jpeg(shown),
        mask=bytes(cv2.imencode(".png", mask)[1]),
    )


def stored_jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    """Return ``image``, (H, W, 3) uint8 RGB, as a JPEG to keep."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
