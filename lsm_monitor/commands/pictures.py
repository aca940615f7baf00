"""Reading and writing picture files, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.errors import PictureError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """Return the picture at ``path`` as (H, W, 3) uint8, RGB.

    Raises:
        PictureError: The file cannot be read, or holds no picture that OpenCV knows.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as exc:
        msg = f"{path}: cannot read ({exc.strerror})"
        raise PictureError(msg) from None
    # cv2.imread prints to stderr and cannot tell a missing file from a broken one.
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # such as a header that claims billions of pixels
        bgr = None
    if bgr is None:
        msg = f"{path}: not a picture, or cut off; expected JPEG, PNG, BMP or WebP"
        raise PictureError(msg)
    return np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)


def write(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write ``image`` in the format of the suffix: (H, W, 3) RGB or (H, W), uint8.

    Raises:
        PictureError: The file cannot be written.
    """
    bgr = image[..., ::-1] if image.ndim == 3 else image  # noqa: PLR2004 - colour or grey
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path}: cannot write this kind of picture; end the name in .jpg or .png"
        raise PictureError(msg)
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(bgr))
    if not encoded:
        msg = f"{path}: {image.shape[1]} x {image.shape[0]} px do not fit into {path.suffix}"
        raise PictureError(msg)
    try:
        path.write_bytes(data.tobytes())
    except OSError as exc:
        msg = f"{path}: cannot write ({exc.strerror})"
        raise PictureError(msg) from None
