"""Data sets on disk: pictures, masks and splits.

Layout: ``SET/images/*.jpg``, ``SET/masks/<same stem>.png`` (0 or 255), optionally
``SET/road_masks/``. A set without ``masks`` is all dry. Everything is read and checked before
training starts, and every damaged or mismatched pair is listed by name: a run must not die in
its second hour because of one truncated file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lsm_train.errors import DataError

SPLITS_FILE = "splits_dev.json"
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
DRY, WATER, IGNORED = 0, 1, 255

ImageArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture with what is known about it; all arrays share (H, W).

    Attributes:
        dataset: Name of the data set.
        name: Stem of the file.
        image: (H, W, 3) uint8, RGB.
        labels: (H, W) uint8 of ``DRY``, ``WATER`` and ``IGNORED``.
        road: (H, W) bool, where the road is, or ``None`` when nobody drew it.
    """

    dataset: str
    name: str
    image: ImageArray
    labels: ImageArray
    road: npt.NDArray[np.bool_] | None = None


def read_splits(data: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return part -> data set -> stems.

    Raises:
        DataError: The file is missing or not of this form.
    """
    return _parse_splits(data / SPLITS_FILE)


def _parse_splits(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # "flood_aerial_kaggle (auxiliary)": the remark is for people.
        return {
            part: {name.split(" ")[0]: tuple(stems) for name, stems in sets.items()}
            for part, sets in content.items()
        }
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        msg = f"{path}: cannot be read as splits ({exc})"
        raise DataError(msg) from exc


def read_stems(split: str, images: Path) -> frozenset[str]:
    """Return the stems of the pictures in ``images`` that a split names.

    Args:
        split: ``FILE:PART``; the file is as in :func:`read_splits`. Which data set the folder
            holds need not be said: stems are unique.
        images: Folder of pictures.

    Raises:
        DataError: The file or the part is unknown, or names none of the pictures.
    """
    file, _, part = split.rpartition(":")
    parts = _parse_splits(Path(file))
    if part not in parts:
        msg = f"{split}: no such part; {file} has {', '.join(parts)}"
        raise DataError(msg)
    named = {stem for stems in parts[part].values() for stem in stems}
    found = frozenset(named & {path.stem for path in list_images(images)})
    if not found:
        msg = f"{images}: has none of the pictures that {split} names"
        raise DataError(msg)
    return found


def list_images(folder: Path, stems: Collection[str] | None = None) -> list[Path]:
    """Return the pictures in ``folder``, sorted; only those of ``stems`` when given.

    Raises:
        DataError: The folder is missing, has no picture, or lacks one of ``stems``.
    """
    if not folder.is_dir():
        msg = f"{folder}: no such folder"
        raise DataError(msg)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if stems is not None:
        missing = sorted(set(stems) - {path.stem for path in paths})
        if missing:
            msg = f"{folder}: lacks {len(missing)} of the listed pictures: {_some(missing)}"
            raise DataError(msg)
        paths = [path for path in paths if path.stem in stems]
    if not paths:
        msg = f"{folder}: has no pictures"
        raise DataError(msg)
    return paths


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
        images: Folder of pictures.
        masks: Folder of masks of the same stems; ``None``: everything is dry.
        roads: Folder of road masks, where they exist.
        stems: Only these.
        dataset: Written into the pictures.

    Raises:
        DataError: After the last picture, when any was damaged; names them all.
    """
    problems = []
    for path in list_images(images, stems):
        try:
            yield _read_picture(path, masks, roads, dataset)
        except DataError as exc:
            problems.append(str(exc))
    if problems:
        raise DataError("\n".join(problems))


def load_dataset(
    data: Path, name: str, stems: Collection[str] | None, max_side_px: int
) -> list[Picture]:
    """Return a data set's pictures in memory, shrunk to at most ``max_side_px``.

    Raises:
        DataError: The set is missing, or pictures are damaged; names them all.
    """
    folder = data / name
    masks, roads = folder / "masks", folder / "road_masks"
    pictures = read_pictures(
        folder / "images",
        masks=masks if masks.is_dir() else None,
        roads=roads if roads.is_dir() else None,
        stems=stems,
        dataset=name,
    )
    return [_shrink(picture, max_side_px) for picture in pictures]


def read_image(path: Path) -> ImageArray:
    """Return (H, W, 3) uint8, RGB.

    Raises:
        DataError: The file is missing or no picture.
    """
    return np.ascontiguousarray(_decode(path, cv2.IMREAD_COLOR)[..., ::-1])


def _read_picture(path: Path, masks: Path | None, roads: Path | None, dataset: str) -> Picture:
    image = read_image(path)
    road = None if roads is None else _read_mask(roads / f"{path.stem}.png", image)
    if masks is None:
        labels = np.zeros(image.shape[:2], np.uint8)
    else:
        labels = _read_mask(masks / f"{path.stem}.png", image).astype(np.uint8)
    return Picture(dataset, path.stem, image, labels, road)


def _read_mask(path: Path, image: ImageArray) -> npt.NDArray[np.bool_]:
    mask = _decode(path, cv2.IMREAD_GRAYSCALE)
    if mask.shape != image.shape[:2]:
        msg = f"{path}: is {mask.shape[::-1]} pixels, its picture {image.shape[1::-1]}"
        raise DataError(msg)
    return mask > 127  # noqa: PLR2004 - 0 or 255 on paper; resized masks have edges between


def _decode(path: Path, flags: int) -> ImageArray:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        decoded = cv2.imdecode(data, flags) if data.size else None
    except (OSError, cv2.error) as exc:
        msg = f"{path}: cannot be read ({exc})"
        raise DataError(msg) from exc
    if decoded is None:
        msg = f"{path}: is not a picture, or is damaged"
        raise DataError(msg)
    return np.asarray(decoded, np.uint8)


def _shrink(picture: Picture, max_side_px: int) -> Picture:
    height, width = picture.labels.shape
    scale = max_side_px / max(height, width)
    if scale >= 1.0:
        return picture
    size_wh = (round(width * scale), round(height * scale))
    labels = cv2.resize(picture.labels, size_wh, interpolation=cv2.INTER_NEAREST)
    image = cv2.resize(picture.image, size_wh, interpolation=cv2.INTER_AREA)
    road = None
    if picture.road is not None:
        resized = cv2.resize(
            picture.road.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST
        )
        road = resized > 0
    return Picture(
        picture.dataset,
        picture.name,
        np.asarray(image, np.uint8),
        np.asarray(labels, np.uint8),
        road,
    )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} ..."  # noqa: PLR2004
