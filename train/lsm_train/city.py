"""What a city gives to fit a model to its cameras: pictures, weak labels, and judges.

Everything is read and checked here, before anything is trained.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lsm_train.adapt_config import AdaptRecipe, GuardSection
from lsm_train.adaptation import HintedPicture
from lsm_train.cut import cut
from lsm_train.data import DRY, WATER, Picture, read_layout, read_pictures, shrink
from lsm_train.errors import DataError
from lsm_train.guard import GuardPictures
from lsm_train.hints import hint_map
from lsm_train.layouts import open_folders
from lsm_train.weak_labels import WeakLabel, read_weak_labels

_FRAMES = "frames"
_MAX_SIDE_FACTOR = 1.5  # of the input: crops are enlarged a little, at most
_JUDGED_SIDE_PX = 1024  # hundreds of larger ones would not fit into memory


@dataclass(frozen=True, slots=True, eq=False)
class CityPictures:
    """What a city has given.

    Attributes:
        labelled: Pictures about which something is said.
        frames: Pictures about which nothing is said, without those held out.
        counts: Pictures by what is said about them.
        guard: What both models are judged on.
    """

    labelled: Sequence[HintedPicture]
    frames: Sequence[HintedPicture]
    counts: Mapping[str, int]
    guard: GuardPictures


def read_city(
    images: Path,
    weak: Path | None,
    *,
    guard: Sequence[Path],
    dry: Sequence[Path],
    recipe: AdaptRecipe,
) -> CityPictures:
    """Read and check all pictures.

    Args:
        images: Folder of the city's pictures.
        weak: Weak labels of some of them, or of all.
        guard: Data sets with masks that only judge.
        dry: Folders of dry pictures that only judge.
        recipe: Sizes, and how many frames are held out.

    Raises:
        DataError: Pictures, masks or labels are missing or damaged, with all their names; or
            there is nothing to judge a model by.
    """
    layout = open_folders(images, None)
    if problems := layout.problems():
        raise DataError("\n".join(problems))
    labels: dict[str, WeakLabel] = {}
    if weak is not None:
        labels = read_weak_labels(weak, layout.images)
    side_px = round(_MAX_SIDE_FACTOR * recipe.train_size_px)
    labelled: list[HintedPicture] = []
    frames: list[HintedPicture] = []
    held_out, dry_pictures = [], []
    masked = [picture for folder in guard for picture in read_pictures(folder, masks=None)]
    shows_water = any((picture.labels == WATER).any() for picture in masked)
    for picture in read_layout(layout):
        label = labels.get(picture.name)
        if label is None and not shows_water and _is_held_out(picture.name, recipe.guard):
            held_out.append(shrink(picture, _JUDGED_SIDE_PX).image)
            continue
        if label is not None and label.is_dry:
            dry_pictures.append(_dry(shrink(picture, _JUDGED_SIDE_PX)))
        hints = hint_map(label, (picture.image.shape[0], picture.image.shape[1]))
        hints = cut(picture.image, hints, box_fill=recipe.pseudo_labels.box_fill)
        small = shrink(Picture("", picture.name, picture.image, hints), side_px)
        hinted = HintedPicture(picture.name, small.image, small.labels)
        (frames if label is None else labelled).append(hinted)
    judges = GuardPictures(
        masked=masked,
        dry=[*dry_pictures, *_read_dry(dry)],
        frames=held_out,
    )
    if not (judges.masked or held_out) or not (labelled or frames):
        msg = (
            f"{images}: has too few pictures to fit a model and to judge it; add frames about "
            "which the weak labels say nothing, or give --guard"
        )
        raise DataError(msg)
    counts = Counter(labels[picture.name].kind for picture in labelled)
    if frames:
        counts[_FRAMES] = len(frames)
    return CityPictures(labelled, frames, dict(counts), judges)


def _read_dry(folders: Sequence[Path]) -> Iterator[Picture]:
    """Yield the pictures of folders that are said to be dry."""
    for folder in folders:
        for picture in read_pictures(folder, masks=None):
            if (picture.labels != DRY).any():
                msg = f"--dry: {folder}: {picture.name} has water in its mask"
                raise DataError(msg)
            yield picture


def _dry(picture: Picture) -> Picture:
    """Return ``picture`` with the verdict of the weak labels, whatever its mask says."""
    return Picture("", picture.name, picture.image, np.full_like(picture.labels, DRY))


def _is_held_out(name: str, settings: GuardSection) -> bool:
    """Whether a frame only judges: chance that depends on its name, and on nothing else."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < settings.held_out_share * 2**32
