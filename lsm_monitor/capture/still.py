"""One JPEG or PNG picture: whether it is whole, how large, and its pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

MAX_PICTURE_BYTES = 32 << 20
# A header of a few bytes can claim 65,535 x 65,535 pixels, which would be 12 GB of RGB.
MAX_PICTURE_PX = 64_000_000
_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


def decode_picture(data: bytes) -> npt.NDArray[np.uint8] | None:
    """Return (H, W, 3) uint8 RGB, or ``None`` when it is not a whole picture, or too large."""
    if not is_complete(data):
        return None
    size_wh = size_of(data)
    if size_wh is None or not 0 < size_wh[0] * size_wh[1] <= MAX_PICTURE_PX:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if image is None:
        return None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def is_complete(data: bytes) -> bool:
    """Return whether ``data`` is a whole JPEG or PNG file; some cameras append notes to it.

    OpenCV paints the missing part of a cut JPEG grey and says nothing, so the end mark is
    looked for here, and only behind the start of the picture itself: a preview has one too.
    """
    if data.startswith(b"\xff\xd8"):
        scan_at, _ = _jpeg_segments(data)
        # Inside the coded picture, FF is always followed by another byte than this.
        return scan_at is not None and data.find(b"\xff\xd9", scan_at) >= 0
    return data.startswith(b"\x89PNG") and b"IEND\xaeB`\x82" in data


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return width and height that the header claims, in pixels; ``None`` without one."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_segments(data)[1]
    if data.startswith(b"\x89PNG") and len(data) >= 24:  # noqa: PLR2004 - end of the first chunk
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return None


def _jpeg_segments(data: bytes) -> tuple[int | None, tuple[int, int] | None]:
    """Return where the coded picture begins, and its width and height.

    The segments before it carry their length; either is ``None`` when it is not there.
    """
    at = 2
    size_wh = None
    while data[at : at + 1] == b"\xff" and at + 1 < len(data):
        marker = data[at + 1]
        if marker == 0xDA:  # noqa: PLR2004 - start of scan
            return at, size_wh
        if marker in _FRAME_MARKERS:
            height_px = int.from_bytes(data[at + 5 : at + 7], "big")
            size_wh = int.from_bytes(data[at + 7 : at + 9], "big"), height_px
        # Any number of FF may stand before a marker.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")  # noqa: PLR2004
    return None, size_wh
