"""Pictures of the rendered street for the documentation.

python -m lsm_monitor.demo.pictures docs/img
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene import StreetScene, flood_script
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp

Image = npt.NDArray[np.uint8]

# Seconds into the episode: dry, ponding, half the road, all of it, falling.
MOMENTS_S = (4.0, 14.5, 20.0, 33.0, 47.0)
STRIP_NAME = "demo-strip.jpg"
OVERLAY_STRIP_NAME = "demo-strip-water.jpg"
_GAP_PX = 4


def strip(pictures: list[Image], *, height_px: int = 216) -> Image:
    """Return ``pictures``, (H, W, 3) uint8 RGB of one size, side by side, scaled down."""
    height, width = pictures[0].shape[:2]
    size = (round(width * height_px / height), height_px)
    gap = np.full((height_px, _GAP_PX, 3), 255, np.uint8)
    parts: list[Image] = []
    for picture in pictures:
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        parts += [np.asarray(small, np.uint8), gap]
    return np.hstack(parts[:-1])


def model_overlay(segmenter: Segmenter) -> Callable[[Image], Image]:
    """Return a function that draws into a picture where ``segmenter`` sees water."""

    def draw(image: Image) -> Image:
        stamp = FrameStamp(CameraId("demo"), 0, 0, None, datetime.now(UTC), 0.0)
        mask = segmenter.segment([Frame(stamp, image)])[0]
        return draw_overlay(image, water=mask.probability >= mask.threshold)

    return draw


def write_pictures(out: Path, *, overlay: Callable[[Image], Image]) -> list[Path]:
    """Write a strip of the street, and the same with ``overlay``, into the folder ``out``.

    Args:
        out: Folder; made when it is missing.
        overlay: Draws into a picture, (H, W, 3) uint8 RGB, and returns the result.

    Returns:
        What was written.
    """
    out.mkdir(parents=True, exist_ok=True)
    scene = StreetScene(SceneStyle())
    images = [scene.render(flood_script(t_s), t_s)[0] for t_s in MOMENTS_S]
    paths = []
    for name, pictures in (
        (STRIP_NAME, images),
        (OVERLAY_STRIP_NAME, [overlay(image) for image in images]),
    ):
        path = out / name
        bgr = cv2.cvtColor(strip(pictures), cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
        path.write_bytes(jpeg.tobytes())
        paths.append(path)
    return paths


def main() -> None:
    """Write the pictures, with the shipped model's masks, into the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    segmenter = Segmenter.open("compact", backend="auto", device="auto", threads=0, max_batch=1)
    try:
        for path in write_pictures(arguments.out, overlay=model_overlay(segmenter)):
            print(path)  # noqa: T201 - the result of the command
    finally:
        segmenter.close()


if __name__ == "__main__":
    main()
