"""Pictures as JPEG that fit where they have to go."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_QUALITIES = (85, 75, 60, 45)
_LEAST_SIDE_PX = 64


def jpeg_of(image: npt.NDArray[np.uint8], *, max_bytes: int) -> bytes:
    """Return ``image`` as a JPEG of at most ``max_bytes``: first coarser, then smaller.

    Args:
        image: (H, W, 3) uint8, RGB.
        max_bytes: Limit; below some 2,000 there may be no picture that fits.

    Raises:
        ValueError: Nothing that fits shows anything.
    """
    bgr = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8)
    while min(bgr.shape[:2]) >= _LEAST_SIDE_PX:
        for quality in _QUALITIES:
            _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if data.size <= max_bytes:
                return bytes(data)
        height, width = bgr.shape[:2]
        smaller = (round(width * 0.7), round(height * 0.7))
        bgr = np.asarray(cv2.resize(bgr, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    msg = f"no JPEG of at most {max_bytes} bytes shows anything"
    raise ValueError(msg)
