"""Weak labels: what an operator can say about a picture in seconds.

One JSON file for a folder of pictures; coordinates are shares of width and height, [0, 1], x
before y, as everywhere in the configuration:

    {"version": 1, "images": {
      "bridge-0412.jpg":  {"boxes": [[0.1, 0.5, 0.9, 1.0]]},
      "bridge-0413.jpg":  {"points": {"water": [[0.4, 0.8]], "dry": [[0.1, 0.9]]}},
      "market-0007.jpg":  {"mask": "coarse/market-0007.png"},
      "market-0008.jpg":  {"verdict": "reflection"}}}

``boxes`` (left, top, right, bottom) hold all water of the picture; outside of them it is dry.
``mask`` is painted roughly, over 127 is water, its path relative to the file; with ``"exact":
true`` it is right to the pixel. ``verdict`` is ``water`` or ``no_water``, or an operator's
feedback on an event: ``true_positive`` is water, ``wet_only``, ``reflection`` and ``shadow``
are none, ``other`` says nothing. Pictures that are not named are frames and nothing more.

A COCO file with boxes of the category ``water`` may stand in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsm_train.coco import CocoBoxes, read_coco_boxes
from lsm_train.errors import DataError
from lsm_train.layouts import MaskFolder, list_images, read_image

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Point = tuple[Share, Share]
Box = tuple[Share, Share, Share, Share]
Verdict = Literal[
    "water", "true_positive", "no_water", "wet_only", "reflection", "shadow", "other"
]
Mask = npt.NDArray[np.bool_]

_WET: frozenset[str] = frozenset({"water", "true_positive"})
_DRY: frozenset[str] = frozenset({"no_water", "wet_only", "reflection", "shadow"})


@dataclass(frozen=True, slots=True, eq=False)
class WeakLabel:
    """What is known about one picture.

    Attributes:
        kind: In a word, for reports: ``boxes``, ``points``, ``mask``, ``dry`` or ``wet``.
        boxes: Left, top, right, bottom; they hold all of its water.
        water_points: Clicks on water, (x, y).
        dry_points: Clicks on dry ground.
        mask: (H, W) bool, painted.
        is_exact: Whether the mask is right to the pixel.
        is_wet: There is water somewhere.
        is_dry: There is none.
    """

    kind: str
    boxes: tuple[Box, ...] = ()
    water_points: tuple[Point, ...] = ()
    dry_points: tuple[Point, ...] = ()
    mask: Mask | None = None
    is_exact: bool = False
    is_wet: bool = False
    is_dry: bool = False


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Points(_Section):
    water: tuple[Point, ...] = ()
    dry: tuple[Point, ...] = ()


class _Entry(_Section):
    boxes: tuple[Box, ...] = ()
    points: _Points = _Points()
    mask: str | None = None
    exact: bool = False
    verdict: Verdict | None = None

    @model_validator(mode="after")
    def _boxes_have_an_inside(self) -> Self:
        for left, top, right, bottom in self.boxes:
            if left >= right or top >= bottom:
                msg = (
                    f"box {[left, top, right, bottom]}: left, top, right, bottom in this order"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        if self.boxes and self.mask is not None:
            msg = "give either 'boxes' or a 'mask'"
            raise ValueError(msg)
        if self.exact and self.mask is None:
            msg = "'exact' says something about a 'mask', and there is none"
            raise ValueError(msg)
        shows_water = bool(self.boxes or self.points.water or self.mask)
        if shows_water and self.verdict in _DRY:
            msg = f"verdict {self.verdict!r} says there is no water, but some is marked"
            raise ValueError(msg)
        if not (shows_water or self.points.dry or self.verdict):
            msg = "says nothing; remove it, or give boxes, points, mask or verdict"
            raise ValueError(msg)
        return self

    def kind(self) -> str | None:
        """Return what it is, in a word; ``None`` when it says nothing."""
        if self.mask is not None:
            return "mask"
        if self.boxes:
            return "boxes"
        if self.verdict in _DRY:
            return "dry"
        if self.points.water or self.points.dry:
            return "points"
        return "wet" if self.verdict in _WET else None


def read_weak_labels(path: Path, images: Path) -> dict[str, WeakLabel]:
    """Return stem -> weak label of the pictures in ``images``.

    Raises:
        DataError: The file cannot be read, or entries are damaged or name no picture; names
            every one.
    """
    content = _read_json(path)
    if isinstance(content, dict) and "annotations" in content:
        return _from_coco(read_coco_boxes(path), images)
    labels, problems = {}, []
    stems = {found.name: found.stem for found in list_images(images)}
    for name, raw in _entries(path, content).items():
        if name not in stems:
            problems.append(f"{path}: {name}: no such picture in {images}")
            continue
        try:
            label = _label(_Entry.model_validate(raw), path.parent, images / name)
        except ValidationError as exc:
            problems += [f"{path}: {name}: {_words(error)}" for error in exc.errors()]
        except DataError as exc:
            problems.append(f"{path}: {name}: {exc}")
        else:
            if label is not None:
                labels[stems[name]] = label
    if problems:
        raise DataError("\n".join(problems))
    return labels


def _entries(path: Path, content: object) -> dict[str, object]:
    """Return picture -> what the file says about it, not yet checked."""
    if not isinstance(content, dict) or content.get("version") != 1:
        msg = f'{path}: is neither COCO nor {{"version": 1, "images": {{...}}}}'
        raise DataError(msg)
    entries = content.get("images")
    if not isinstance(entries, dict):
        msg = f"{path}: needs 'images', an object of pictures"
        raise DataError(msg)
    strays = sorted(content.keys() - {"version", "images"})
    if strays:
        msg = f"{path}: has 'version' and 'images' and nothing else: {', '.join(strays)}"
        raise DataError(msg)
    return entries


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        msg = f"{path}: cannot be read as weak labels ({exc})"
        raise DataError(msg) from exc


def _words(error: Mapping[str, object]) -> str:
    """Return one of pydantic's errors in our words."""
    location = error["loc"]
    where = ".".join(map(str, location)) if isinstance(location, tuple) else ""
    text = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = "unknown key"
    return f"{where}: {text}" if where else text


def _label(entry: _Entry, folder: Path, picture: Path) -> WeakLabel | None:
    """Return an entry's label; ``None`` when it says nothing."""
    kind = entry.kind()
    if kind is None:
        return None
    return WeakLabel(
        kind,
        boxes=entry.boxes,
        water_points=entry.points.water,
        dry_points=entry.points.dry,
        mask=None if entry.mask is None else _read_mask(folder / entry.mask, picture),
        is_exact=entry.exact,
        is_wet=entry.verdict in _WET,
        is_dry=entry.verdict in _DRY,
    )


def _read_mask(path: Path, picture: Path) -> Mask:
    if path.suffix != ".png":
        msg = f"mask {path.name}: must be a .png"
        raise DataError(msg)
    image = read_image(picture)
    return MaskFolder(path.parent).read(path.stem, (image.shape[0], image.shape[1]))


def _from_coco(boxes: CocoBoxes, images: Path) -> dict[str, WeakLabel]:
    """Return the labels of a COCO file; a picture without a box is dry."""
    stems = frozenset(path.stem for path in list_images(images))
    problems = [*boxes.problems]
    problems += [
        f"{boxes.path}: {stem}: no such picture in {images}"
        for stem in sorted(boxes.by_stem.keys() - stems)
    ]
    if problems:
        raise DataError("\n".join(problems))
    return {
        stem: WeakLabel("boxes", boxes=found) if found else WeakLabel("dry", is_dry=True)
        for stem, found in boxes.by_stem.items()
    }
