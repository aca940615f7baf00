"""Pictures of the rendered street for the documentation.

python -m lsm_monitor.demo.pictures docs/img
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.demo.scene import StreetScene, flood_script
from lsm_monitor.demo.scene_style import SceneStyle

Image = npt.NDArray[np.uint8]

# Seconds into the episode: dry, ponding, half the road, all of it, falling.
MOMENTS_S = (4.0, 14.5, 20.0, 33.0, 47.0)
STRIP_NAME = "demo-strip.jpg"
MASK_STRIP_NAME = "demo-strip-water.jpg"
_GAP_PX = 4
_WATER_RGB = (30, 110, 255)


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


def tinted(image: Image, mask: npt.NDArray[np.bool_]) -> Image:
    """Return ``image``, (H, W, 3) uint8 RGB, with the pixels of ``mask`` tinted blue."""
    result = image.copy()
    result[mask] = (0.5 * result[mask] + 0.5 * np.array(_WATER_RGB)).astype(np.uint8)
    return result


def write_pictures(out: Path, *, overlay: Callable[[Image], Image] | None = None) -> list[Path]:
    """Write the strips into the folder ``out`` and return what was written.

    Args:
        out: Folder; made when it is missing.
        overlay: Draws the model's view of a picture; ``None`` tints the scene's own mask.
    """
    out.mkdir(parents=True, exist_ok=True)
    scene = StreetScene(SceneStyle())
    shots = [scene.render(flood_script(t_s), t_s) for t_s in MOMENTS_S]
    images = [image for image, _ in shots]
    if overlay is None:
        drawn = [tinted(image, mask) for image, mask in shots]
    else:
        drawn = [overlay(image) for image in images]
    paths = []
    for name, pictures in ((STRIP_NAME, images), (MASK_STRIP_NAME, drawn)):
        path = out / name
        bgr = cv2.cvtColor(strip(pictures), cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
        path.write_bytes(jpeg.tobytes())
        paths.append(path)
    return paths


def main() -> None:
    """Write the pictures into the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="FOLDER")
    for path in write_pictures(parser.parse_args().out):
        print(path)  # noqa: T201 - the result of the command


if __name__ == "__main__":
    main()
