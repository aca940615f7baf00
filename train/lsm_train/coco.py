"""COCO annotations: water drawn as polygons or as run lengths, in one JSON file.

The water's category is called ``water``, or is the only one. Polygons are filled by
pycocotools, so that they cover the same pixels as in any other COCO tool. Run lengths are
decoded here: pycocotools fills what too short ones leave open with arbitrary memory.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from lsm_train.errors import DataError

Mask = npt.NDArray[np.bool_]
_FEWEST_COORDINATES = 6
_OUTSIDE_PX = 1.0  # rounding may put a corner this far outside of the picture


class _Section(BaseModel):
    """What we read of an object; COCO has more keys, which are ignored."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Runs(_Section):
    size: tuple[int, int]
    counts: list[int] | str


class _Placed(_Section):
    image_id: int
    category_id: int


class _Annotation(_Placed):
    segmentation: list[list[float]] | _Runs


class _Boxed(_Placed):
    bbox: tuple[float, float, float, float]


class _Category(_Section):
    id: int
    name: str


class _Image(_Section):
    id: int
    file_name: str
    height: int
    width: int


class _File(_Section):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


class _BoxFile(_Section):
    images: list[_Image]
    annotations: list[_Boxed]
    categories: list[_Category]


@dataclass(frozen=True, slots=True)
class CocoBoxes:
    """Boxes round the water of a data set's pictures.

    Attributes:
        path: The file.
        by_stem: Stem of a picture -> left, top, right, bottom of each box, [0, 1]; none when
            it is dry.
        problems: What is wrong with the file itself, in words.
    """

    path: Path
    by_stem: dict[str, tuple[tuple[float, float, float, float], ...]]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CocoMasks:
    """The water of a data set's pictures.

    Attributes:
        path: The file.
        images: Stem of a picture -> what the file says about it.
        annotations: Stem -> its water; none when it is dry.
        strays: What is wrong with the file itself, in words.
    """

    path: Path
    images: dict[str, _Image]
    annotations: dict[str, list[_Annotation]]
    strays: tuple[str, ...]

    def read(self, stem: str, hw: tuple[int, int]) -> Mask:
        """Return (H, W) bool, the union of the picture's water annotations.

        Raises:
            DataError: The picture is not listed, has another size than ``hw``, or an
                annotation is damaged.
        """
        image = self.images.get(stem)
        if image is None:
            msg = f"{self.path}: does not list the picture {stem}"
            raise DataError(msg)
        if (image.height, image.width) != hw:
            size = (image.width, image.height)
            msg = f"{self.path}: {stem} is {size} pixels, its picture {hw[::-1]}"
            raise DataError(msg)
        mask = np.zeros(hw, np.bool_)
        for annotation in self.annotations.get(stem, []):
            try:
                mask |= _fill(annotation.segmentation, hw)
            except ValueError as exc:
                msg = f"{self.path}: {stem}: {exc}"
                raise DataError(msg) from exc
        return mask

    def problems(self, stems: frozenset[str]) -> list[str]:
        """Return what is wrong with the file, given the pictures that there are."""
        missing = sorted(self.images.keys() - stems)
        return [*self.strays, *(f"{self.path}: {stem} has no picture" for stem in missing)]


def read_coco(path: Path) -> CocoMasks:
    """Return the annotations of a COCO file.

    Raises:
        DataError: The file cannot be read, is not of this form, or does not say which
            category is water.
    """
    file = _parse(path, _File)
    water = _water_category(path, file.categories)
    images = {Path(image.file_name).stem: image for image in file.images}
    stem_of = {image.id: stem for stem, image in images.items()}
    annotations = defaultdict(list)
    for annotation in file.annotations:
        if annotation.image_id in stem_of and annotation.category_id == water:
            annotations[stem_of[annotation.image_id]].append(annotation)
    return CocoMasks(path, images, dict(annotations), _strays(path, file))


def read_coco_boxes(path: Path) -> CocoBoxes:
    """Return the boxes of a COCO file; of its polygons and run lengths nothing is read.

    Raises:
        DataError: As :func:`read_coco`.
    """
    file = _parse(path, _BoxFile)
    water = _water_category(path, file.categories)
    images = {image.id: image for image in file.images}
    by_stem: dict[str, list[tuple[float, float, float, float]]] = {
        Path(image.file_name).stem: [] for image in file.images
    }
    problems = [*_strays(path, file)]
    for index, annotation in enumerate(file.annotations):
        image = images.get(annotation.image_id)
        if image is not None and annotation.category_id == water:
            left, top, width, height = annotation.bbox
            sides = (image.width, image.height)
            far = (left + width, top + height)
            inside = all(
                -_OUTSIDE_PX <= low < high <= side + _OUTSIDE_PX
                for low, high, side in zip((left, top), far, sides, strict=True)
            )
            stem = Path(image.file_name).stem
            if not inside:
                problems.append(
                    f"{path}: {stem}: annotations.{index}: bbox {annotation.bbox} "
                    "is empty or lies outside of the picture"
                )
                continue
            near_x, far_x = (min(max(x / sides[0], 0.0), 1.0) for x in (left, far[0]))
            near_y, far_y = (min(max(y / sides[1], 0.0), 1.0) for y in (top, far[1]))
            by_stem[stem].append((near_x, near_y, far_x, far_y))
    return CocoBoxes(path, {stem: tuple(b) for stem, b in by_stem.items()}, tuple(problems))


_Form = TypeVar("_Form", _File, _BoxFile)


def _parse(path: Path, form: type[_Form]) -> _Form:
    try:
        return form.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as exc:
        lines = [
            f"{path}: {'.'.join(map(str, error['loc']))}: {error['msg']}"
            for error in exc.errors()
        ]
        raise DataError("\n".join(lines)) from exc
    except (OSError, ValueError) as exc:
        msg = f"{path}: cannot be read as COCO annotations ({exc})"
        raise DataError(msg) from exc


def _strays(path: Path, file: _File | _BoxFile) -> tuple[str, ...]:
    """Return, in words, where the file contradicts itself."""
    problems = []
    for key, values in (
        ("stem", [Path(image.file_name).stem for image in file.images]),
        ("image id", [image.id for image in file.images]),
        ("category id", [category.id for category in file.categories]),
    ):
        twice = [value for value, count in Counter(map(str, values)).items() if count > 1]
        problems += [f"{path}: lists the {key} {value} twice" for value in twice]
    images = {image.id for image in file.images}
    categories = {category.id for category in file.categories}
    for index, annotation in enumerate(file.annotations):
        at = f"{path}: annotations.{index}"
        if annotation.image_id not in images:
            problems.append(f"{at}: no image has id {annotation.image_id}")
        if annotation.category_id not in categories:
            problems.append(f"{at}: no category has id {annotation.category_id}")
    return tuple(problems)


def _water_category(path: Path, categories: list[_Category]) -> int:
    named = [category for category in categories if category.name.lower() == "water"]
    candidates = named or categories
    if len(candidates) != 1:
        names = ", ".join(category.name for category in categories) or "none"
        msg = f"{path}: needs one category called 'water', or only one; it has {names}"
        raise DataError(msg)
    return candidates[0].id


def _fill(segmentation: list[list[float]] | _Runs, hw: tuple[int, int]) -> Mask:
    if isinstance(segmentation, _Runs):
        return _fill_runs(segmentation, hw)
    return _fill_polygons(segmentation, hw)


def _fill_polygons(polygons: list[list[float]], hw: tuple[int, int]) -> Mask:
    # Only data sets with polygons need it: it belongs to 'lsm-monitor[train]'.
    from pycocotools import mask as coco  # noqa: PLC0415

    if not polygons:
        msg = "an annotation is empty"
        raise ValueError(msg)
    limits = np.array(hw[::-1]) + _OUTSIDE_PX
    for polygon in polygons:
        if len(polygon) < _FEWEST_COORDINATES or len(polygon) % 2:
            msg = f"a polygon has {len(polygon)} coordinates, not 6, 8, 10 or more"
            raise ValueError(msg)
        corners = np.reshape(polygon, (-1, 2))
        if (corners < -_OUTSIDE_PX).any() or (corners > limits).any():
            msg = "a polygon lies outside of the picture"
            raise ValueError(msg)
    mask = np.zeros(hw, np.bool_)
    for filled in coco.frPyObjects(polygons, *hw):  # type: ignore[arg-type]  # stubs want int
        mask |= _fill_runs(_Runs.model_validate(filled), hw)
    return mask


def _fill_runs(runs: _Runs, hw: tuple[int, int]) -> Mask:
    """Lengths of dry and wet runs in turn, down the columns -> (H, W) bool."""
    if runs.size != hw:
        msg = f"run lengths are for {runs.size[::-1]} pixels, not {hw[::-1]}"
        raise ValueError(msg)
    counts = _unpacked(runs.counts) if isinstance(runs.counts, str) else runs.counts
    pixels = hw[0] * hw[1]
    if min(counts, default=0) < 0 or sum(counts) != pixels:
        msg = f"run lengths must not be negative, and must sum to {pixels}, not {sum(counts)}"
        raise ValueError(msg)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(hw[::-1]).T


def _unpacked(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed string.

    Each number is a little-endian row of characters with six bits over '0': five of the
    number, and one that says whether more follow; the last one's highest bit is the sign.
    From the fourth on, a number is the difference to the last but one.
    """
    counts: list[int] = []
    number, shift = 0, 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:  # noqa: PLR2004 - six bits
            msg = f"run lengths contain {character!r}"
            raise ValueError(msg)
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)  # noqa: PLR2004 - the fourth
        number, shift = 0, 0
    if shift:
        msg = "run lengths end in the middle of a number"
        raise ValueError(msg)
    return counts
