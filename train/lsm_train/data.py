"""Data sets in memory: pictures with their labels.

Everything is read and checked before training starts, and every damaged or mismatched pair is
listed by name: a run must not die in its second hour because of one truncated file. Where the
files lie is the business of :mod:`lsm_train.layouts`, which of them train or validate that of
:mod:`lsm_train.splits`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from lsm_monitor.model.small_model import DRY, IGNORED, WATER
from lsm_train.errors import DataError
from lsm_train.layouts import (
    ImageArray,
    Layout,
    Mask,
    find_layout,
    list_images,
    open_folders,
    read_image,
)
from lsm_train.splits import read_splits, read_stems
from lsm_train.surfaces import DRY_ROAD, ROAD, WET_ROAD, from_road, join

__all__ = [
    "DRY",
    "IGNORED",
    "WATER",
    "ImageArray",
    "Mask",
    "Picture",
    "load_dataset",
    "read_layout",
    "read_picture",
    "read_pictures",
    "read_splits",
    "read_stems",
    "shrink",
    "with_dry_roads",
]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture with what is known about it; all arrays share (H, W).

    Attributes:
        dataset: Name of the data set.
        name: Stem of the file.
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8 of ``DRY``, ``WATER`` and ``IGNORED``.
        road: (H, W) bool, where the road is, or ``None`` when nobody drew it.
        surface: (H, W) uint8 of :mod:`lsm_train.surfaces`, what is known of dry ground, or
            ``None`` for nothing.
    """

    dataset: str
    name: str
    image: ImageArray
    labels: ImageArray
    road: Mask | None = None
    surface: ImageArray | None = None

    @property
    def all_labels(self) -> ImageArray:
        """(H, W) uint8 of :mod:`lsm_train.surfaces`: everything that is known."""
        return join(self.labels, self.surface)


def load_dataset(
    data: Path, name: str, stems: Collection[str] | None, max_side_px: int
) -> list[Picture]:
    """Return a data set's pictures in memory, shrunk to at most ``max_side_px``.

    Raises:
        DataError: The set is missing, or pictures are damaged; names them all.
    """
    layout = find_layout(data / name)
    problems = layout.problems()
    pictures: list[Picture] = []
    try:
        found = read_layout(layout, stems=stems, dataset=name)
        pictures.extend(shrink(picture, max_side_px) for picture in found)
    except DataError as exc:
        problems.append(str(exc))
    if problems:
        raise DataError("\n".join(problems))
    return pictures


def read_pictures(
    images: Path,
    *,
    masks: Path | None,
    roads: Path | None = None,
    stems: Collection[str] | None = None,
    dataset: str = "",
) -> Iterator[Picture]:
    """Yield the pictures of a folder with their labels, one at a time.

    Args:
        images: Folder of pictures, or a whole data set.
        masks: Folder of masks of the same stems, over 127 is water, over 0 in a folder called
            ``SegmentationClass``; ``None``: everything is dry.
        roads: Folder of road masks, where they exist.
        stems: Only these.
        dataset: Written into the pictures.

    Raises:
        DataError: After the last picture, when any was damaged; names them all.
    """
    layout = open_folders(images, masks, roads)
    return read_layout(layout, stems=stems, dataset=dataset)


def read_layout(
    layout: Layout, *, stems: Collection[str] | None = None, dataset: str = ""
) -> Iterator[Picture]:
    """Yield the pictures of a data set, one at a time; see :func:`read_pictures`."""
    problems = []
    for path in list_images(layout.images, stems):
        try:
            yield read_picture(path, layout, dataset=dataset)
        except DataError as exc:
            problems.append(str(exc))
    if problems:
        raise DataError("\n".join(problems))


def read_picture(path: Path, layout: Layout, *, dataset: str = "") -> Picture:
    """Return one of the pictures of a data set.

    Raises:
        DataError: The picture or one of its masks is missing or damaged.
    """
    image = read_image(path)
    hw = (image.shape[0], image.shape[1])
    labels = np.full(hw, DRY, np.uint8)
    if layout.water is not None:
        labels[layout.water.read(path.stem, hw)] = WATER
    road = None if layout.roads is None else layout.roads.read(path.stem, hw)
    surface = None if road is None else from_road(road)
    if layout.classes is not None:
        surface = layout.classes.read(path.stem, hw)
        labels = np.where(np.isin(surface, (WATER, IGNORED)), surface, labels).astype(np.uint8)
        road = np.isin(surface, (ROAD, DRY_ROAD, WET_ROAD)) if layout.classes.has_road else None
    return Picture(dataset, path.stem, image, labels, road, surface)


def shrink(picture: Picture, max_side_px: int) -> Picture:
    """Return ``picture`` with a longer side of at most ``max_side_px``."""
    height, width = picture.labels.shape
    scale = max_side_px / max(height, width)
    if scale >= 1.0:
        return picture
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(picture.image, size_wh, interpolation=cv2.INTER_AREA)
    road = None if picture.road is None else _nearest(picture.road, size_wh) > 0
    surface = None if picture.surface is None else _nearest(picture.surface, size_wh)
    return Picture(
        picture.dataset,
        picture.name,
        np.asarray(image, np.uint8),
        _nearest(picture.labels, size_wh),
        road,
        surface,
    )


def with_dry_roads(picture: Picture) -> Picture:
    """Return a picture of which it is known that its road, where it is drawn, is dry."""
    if picture.surface is None:
        return picture
    surface = np.where(picture.surface == ROAD, DRY_ROAD, picture.surface).astype(np.uint8)
    return replace(picture, surface=surface)


def _nearest(array: ImageArray | Mask, size_wh: tuple[int, int]) -> ImageArray:
    resized = cv2.resize(array.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, np.uint8)
