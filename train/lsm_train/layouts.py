"""Layouts of data sets: which files hold the pictures and the masks.

A set is recognised by its folders:

* ours: ``images/``, ``masks/`` (over 127 is water), optionally ``road_masks/``; a set without
  ``masks/`` is all dry.
* ours, of several classes: ``images/``, ``class_masks/`` (grey, the number of a line of
  ``classes.txt``, from 0 on; 255 is ignored).
* UW-Bench's and VOC's: ``JPEGImages/``, ``SegmentationClass/`` (any mode; over 0 is water).
* COCO's: ``images/`` and ``annotations.json``.

Masks have the stems of their pictures and end in ``.png``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.model.small_model import IGNORED
from lsm_train.coco import read_coco
from lsm_train.errors import DataError
from lsm_train.surfaces import LABELS

_VOC_MASKS = "SegmentationClass"
_WITH_ALPHA = frozenset({3, 4, 6})  # colour types of PNG: a palette's may have it
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})

ImageArray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Masks(Protocol):
    """Where something is in each picture of a set."""

    def read(self, stem: str, hw: tuple[int, int]) -> Mask:
        """Return (H, W) bool.

        Raises:
            DataError: There is none, it is damaged, or it is not of the size ``hw``.
        """

    def problems(self, stems: frozenset[str]) -> list[str]:
        """Return, in words, what does not belong to any of the pictures ``stems``."""


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """Masks as grey PNG files; pixels brighter than ``threshold`` count."""

    folder: Path
    threshold: int = 127  # 0 or 255 on paper; resized masks have edges between

    def read(self, stem: str, hw: tuple[int, int]) -> Mask:
        """Return (H, W) bool, as :meth:`Masks.read`."""
        path = self.folder / f"{stem}.png"
        # Without IMREAD_ANYDEPTH a 16-bit mask of zeros and ones becomes all zeros.
        mask = _decode(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
        if mask.shape != hw:
            msg = f"{path}: is {mask.shape[::-1]} pixels, its picture {hw[::-1]}"
            raise DataError(msg)
        opaque = _opaque(path)
        if opaque is not None:
            # Nobody sees which colour is transparent; often it is white.
            mask = np.where(opaque, mask, 0)
            if opaque.any() and not opaque.all() and not mask.any():
                msg = f"{path}: is black on nothing; save water as white on black"
                raise DataError(msg)
        if 0 < mask.max() <= self.threshold:
            msg = (
                f"{path}: its values go up to {mask.max()}, but water is over "
                f"{self.threshold}; masks of class numbers belong into SegmentationClass/"
            )
            raise DataError(msg)
        return np.asarray(mask > self.threshold)

    def problems(self, stems: frozenset[str]) -> list[str]:
        """Return the masks without a picture, as :meth:`Masks.problems`."""
        paths = sorted(self.folder.glob("*.png"))
        return [f"{path}: has no picture" for path in paths if path.stem not in stems]


@dataclass(frozen=True, slots=True)
class ClassMaskFolder:
    """Masks of class numbers.

    Attributes:
        folder: Of grey PNG files.
        names: What each number means; names of :data:`lsm_train.surfaces.LABELS`.
    """

    folder: Path
    names: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path, names: Path) -> ClassMaskFolder:
        """Return the masks in ``folder``, numbered as the lines of the file ``names``.

        Raises:
            DataError: The file cannot be read, or a name is unknown.
        """
        try:
            lines = names.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            msg = f"{names}: cannot be read ({exc}); write the names of the classes, one a line"
            raise DataError(msg) from exc
        found = tuple(line.strip() for line in lines)
        for number, name in enumerate(found):
            if name not in LABELS:
                msg = f"{names}:{number + 1}: unknown name {name!r}; known: {', '.join(LABELS)}"
                raise DataError(msg)
        return cls(folder, found)

    @property
    def has_road(self) -> bool:
        """Whether the masks say where the road is."""
        return not {"road", "dry_road", "wet_road"}.isdisjoint(self.names)

    def read(self, stem: str, hw: tuple[int, int]) -> ImageArray:
        """Return (H, W) uint8 of :mod:`lsm_train.surfaces`.

        Raises:
            DataError: There is none, it is damaged, not of the size ``hw``, or has a number
                without a name.
        """
        path = self.folder / f"{stem}.png"
        mask = _decode(path, cv2.IMREAD_UNCHANGED)
        # Decoding spreads fewer bits up to 255: the highest number would be ignored.
        depth_bits, _ = _png_header(path)
        if mask.ndim != 2 or mask.dtype != np.uint8 or depth_bits < 8:  # noqa: PLR2004 - grey
            msg = f"{path}: is no grey picture of 8 bit; save class numbers, not colours"
            raise DataError(msg)
        if mask.shape != hw:
            msg = f"{path}: is {mask.shape[::-1]} pixels, its picture {hw[::-1]}"
            raise DataError(msg)
        numbers = np.full(256, IGNORED, np.uint8)
        numbers[: len(self.names)] = [LABELS[name][0] for name in self.names]
        strange = mask[(mask >= len(self.names)) & (mask != IGNORED)]
        if strange.size:
            msg = f"{path}: holds {strange.max()}, but classes.txt has {len(self.names)} lines"
            raise DataError(msg)
        return np.asarray(numbers[mask], np.uint8)

    def problems(self, stems: frozenset[str]) -> list[str]:
        """Return the masks without a picture, as :meth:`Masks.problems`."""
        return MaskFolder(self.folder).problems(stems)


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of one data set.

    Attributes:
        images: Folder of pictures.
        water: Where water is; ``None``: nowhere.
        roads: Where the road is; ``None`` when nobody drew it.
        classes: What each pixel shows, instead of both.
    """

    images: Path
    water: Masks | None = None
    roads: Masks | None = None
    classes: ClassMaskFolder | None = None

    def problems(self) -> list[str]:
        """Return pictures that share a stem and masks without a picture, in words."""
        problems = []
        seen: dict[str, Path] = {}
        for path in list_images(self.images):
            if path.stem in seen:
                problems.append(f"{path}: has the stem of {seen[path.stem].name}")
            seen[path.stem] = path
        stems = frozenset(seen)
        for masks in (self.water, self.roads, self.classes):
            problems += [] if masks is None else masks.problems(stems)
        return problems


def open_folders(images: Path, masks: Path | None, roads: Path | None = None) -> Layout:
    """Return the layout of folders that were named one by one.

    ``images`` may also be a whole data set, whose masks are found by its layout.

    Raises:
        DataError: As :func:`find_layout`; or a whole data set has other road masks, pictures
            that share a stem, or annotations and masks that belong to none.
    """
    if masks is None and any((images / name).is_dir() for name in ("images", "JPEGImages")):
        layout = find_layout(images)
        if problems := layout.problems():
            raise DataError("\n".join(problems))
        if roads is None:
            return layout
        if layout.roads is not None or layout.classes is not None:
            msg = f"{images}: has road masks of its own; leave out {roads}"
            raise DataError(msg)
        return replace(layout, roads=MaskFolder(roads))
    water = None
    if masks is not None:
        water = MaskFolder(masks, threshold=0 if masks.name == _VOC_MASKS else 127)
    return Layout(images, water, None if roads is None else MaskFolder(roads))


def find_layout(folder: Path) -> Layout:
    """Return the layout of the data set in ``folder``.

    Raises:
        DataError: The folder is missing, has none of the layouts or two at once, or its
            annotations cannot be used.
    """
    images, masks, roads = folder / "images", folder / "masks", folder / "road_masks"
    voc_images, voc_masks = folder / "JPEGImages", folder / _VOC_MASKS
    annotations = folder / "annotations.json"
    if not folder.is_dir():
        msg = f"{folder}: no such folder"
        raise DataError(msg)
    if voc_images.is_dir() and voc_masks.is_dir():
        return Layout(voc_images, MaskFolder(voc_masks, threshold=0))
    if not images.is_dir():
        msg = f"{folder}: has neither images/ nor JPEGImages/ with SegmentationClass/"
        raise DataError(msg)
    class_masks = folder / "class_masks"
    if class_masks.is_dir():
        others = [path.name for path in (masks, roads, annotations) if path.exists()]
        if others:
            msg = f"{folder}: has both class_masks/ and {', '.join(others)}; remove one"
            raise DataError(msg)
        return Layout(images, classes=ClassMaskFolder.open(class_masks, folder / "classes.txt"))
    if annotations.is_file() and masks.is_dir():
        msg = f"{folder}: has both masks/ and annotations.json; remove one"
        raise DataError(msg)
    water: Masks | None = None
    if annotations.is_file():
        water = read_coco(annotations)
    elif masks.is_dir():
        water = MaskFolder(masks)
    return Layout(images, water, MaskFolder(roads) if roads.is_dir() else None)


def list_images(folder: Path, stems: Collection[str] | None = None) -> list[Path]:
    """Return the pictures in ``folder``, sorted; only those of ``stems`` when given.

    Raises:
        DataError: The folder is missing, has no picture, lacks one of ``stems``, or a picture's
            name is no text: digests, splits and labels are kept by name.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such folder"
        raise DataError(msg)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    strange = [ascii(path.name) for path in paths if not _is_text(path.name)]
    if strange:
        msg = f"{folder}: names that are not UTF-8: {some(strange)}; rename these files"
        raise DataError(msg)
    if stems is not None:
        missing = sorted(set(stems) - {path.stem for path in paths})
        if missing:
            msg = f"{folder}: lacks {len(missing)} of the listed pictures: {some(missing)}"
            raise DataError(msg)
        paths = [path for path in paths if path.stem in stems]
    if not paths:
        msg = f"{folder}: has no pictures"
        raise DataError(msg)
    return paths


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_image(path: Path) -> ImageArray:
    """Return (H, W, 3) uint8, RGB.

    Raises:
        DataError: The file is missing or no picture.
    """
    decoded = _decode(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)


def _opaque(path: Path) -> Mask | None:
    """Return (H, W) bool, where a PNG file is not transparent; ``None`` without such a part."""
    _, colour_type = _png_header(path)
    if colour_type not in _WITH_ALPHA:
        return None
    decoded = _decode(path, cv2.IMREAD_UNCHANGED)
    if decoded.ndim != 3 or decoded.shape[2] != 4:  # noqa: PLR2004 - blue, green, red, alpha
        return None
    return np.asarray(decoded[..., 3] > np.iinfo(decoded.dtype).max // 2)


def _png_header(path: Path) -> tuple[int, int]:
    """Return the bits of a sample and the colour type of a PNG; else 8, and 0 for grey."""
    with path.open("rb") as file:
        header = file.read(26)
    return (header[24], header[25]) if header.startswith(b"\x89PNG") else (8, 0)


def _decode(path: Path, flags: int) -> npt.NDArray[np.uint8 | np.uint16]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        decoded = cv2.imdecode(data, flags) if data.size else None
    except (OSError, cv2.error) as exc:
        msg = f"{path}: cannot be read ({exc})"
        raise DataError(msg) from exc
    if decoded is None:
        msg = f"{path}: is not a picture, or is damaged"
        raise DataError(msg)
    return np.asarray(decoded)


def some(names: list[str]) -> str:
    """Return the first few names, for a message."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} ..."  # noqa: PLR2004
