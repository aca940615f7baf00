"""``lsm-monitor segment``: pictures in, masks, overlays and water fractions out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.commands import pictures
from lsm_monitor.errors import InferenceError, PictureError
from lsm_monitor.evidence.overlay import draw_overlay
from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp


@dataclass(frozen=True, slots=True)
class SegmentedPicture:
    """What was written for one picture; ``error`` instead, when it could not be read."""

    picture: str
    water_fraction: float | None
    mask: str | None
    overlay: str | None
    error: str | None


def find_pictures(inputs: Sequence[Path]) -> list[Path]:
    """Return the picture files among ``inputs``; folders are searched one level deep.

    Raises:
        ValueError: An input does not exist, a folder holds no picture, or two pictures
            would be written to the same output file.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(_pictures_in(path))
            if not inside:
                msg = f"{path}: the folder holds none of {', '.join(sorted(pictures.SUFFIXES))}"
                raise ValueError(msg)
            found += inside
        elif path.exists():
            found.append(path)
        else:
            msg = f"{path}: no such file or folder"
            raise ValueError(msg)
    by_stem: dict[str, Path] = {}
    for path in found:
        if by_stem.setdefault(path.stem, path) != path:
            msg = (
                f"{path} and {by_stem[path.stem]} would both be written as "
                f"{path.stem}_mask.png; segment them into two output folders"
            )
            raise ValueError(msg)
    return list(by_stem.values())


def _pictures_in(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if p.suffix.lower() in pictures.SUFFIXES]
    except OSError as exc:
        msg = f"{folder}: cannot read this folder ({exc.strerror})"
        raise ValueError(msg) from None


def segment(
    found: Sequence[Path], out_dir: Path, segmenter: Segmenter
) -> Iterator[SegmentedPicture]:
    """Yield the result of each picture after its files are written into ``out_dir``.

    ``<stem>_mask.png`` is 255 where there is water, at the picture's size;
    ``<stem>_overlay.jpg`` is for people. A picture that cannot be read is a result, too.

    Raises:
        PictureError: ``out_dir`` cannot be made.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"{out_dir}: cannot make this folder ({exc.strerror})"
        raise PictureError(msg) from None
    for index, path in enumerate(found):
        try:
            yield _one(path, index, out_dir, segmenter)
        except (PictureError, InferenceError) as exc:
            yield SegmentedPicture(str(path), None, None, None, str(exc))


def _one(path: Path, index: int, out_dir: Path, segmenter: Segmenter) -> SegmentedPicture:
    image = pictures.read_rgb(path)
    stamp = FrameStamp(CameraId("picture"), 0, index, None, datetime.now(UTC), 0.0)
    (mask,) = segmenter.segment([Frame(stamp, image)])
    water = mask.probability >= mask.threshold
    mask_path = out_dir / f"{path.stem}_mask.png"
    overlay_path = out_dir / f"{path.stem}_overlay.jpg"
    pictures.write(mask_path, _at_size(water, image.shape[:2]))
    pictures.write(overlay_path, draw_overlay(image, water=water))
    return SegmentedPicture(
        str(path), round(float(water.mean()), 4), str(mask_path), str(overlay_path), None
    )


def _at_size(water: npt.NDArray[np.bool_], size_hw: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """(h, w) bool -> (H, W) uint8, 0 or 255."""
    height, width = size_hw
    mask = cv2.resize(water.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return (mask * 255).astype(np.uint8)
