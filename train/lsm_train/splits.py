"""Splits: which pictures train a model and which validate it.

Neighbouring frames of one camera are nearly the same picture. A model that has seen one in
training knows the other, and its validation would flatter it; so a source's pictures go to one
part together.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from lsm_train.errors import DataError
from lsm_train.layouts import find_layout, list_images, open_folders, some

logger = logging.getLogger(__name__)

SPLITS_FILE = "splits_dev.json"
DEFAULT_PATTERN = r"(.*?)(?:\d+\D*)?"
"""The source is everything before the last run of digits: ``test1_`` of ``test1_1370``."""
_VAL_SHARE = 0.2

Splits = dict[str, dict[str, tuple[str, ...]]]


def read_splits(data: Path) -> Splits:
    """Return part -> data set -> stems.

    Without a splits file, the sets in ``data`` are split by the sources in the pictures'
    names; a set of one source, which cannot be split, is trained on as a whole.

    Raises:
        DataError: The file cannot be read, or there is none and nothing to split.
    """
    path = data / SPLITS_FILE
    return _parse(path) if path.exists() else _derive(data)


def read_stems(split: str, images: Path) -> frozenset[str]:
    """Return the stems of the pictures in ``images`` that a split names.

    Args:
        split: ``FILE:PART``; the file is as in :func:`read_splits`.
        images: Folder of pictures, or a whole data set. Where the file knows the data set by
            its folder's name, only what it says of that set counts: other sets may have
            pictures of the same names in other parts.

    Raises:
        DataError: The file or the part is unknown, names none of the pictures, or names some
            that are not there.
    """
    file, _, part = split.rpartition(":")
    parts = _parse(Path(file))
    if part not in parts:
        msg = f"{split}: no such part; {file} has {', '.join(parts)}"
        raise DataError(msg)
    folder = open_folders(images, None).images
    known = {name for sets in parts.values() for name in sets}
    names = {path.name for path in (folder.absolute(), folder.absolute().parent)} & known
    sets = {name: stems for name, stems in parts[part].items() if not names or name in names}
    found = frozenset(stem for stems in sets.values() for stem in stems)
    if not names:
        found &= {path.stem for path in list_images(folder)}
    if not found:
        msg = f"{images}: has none of the pictures that {split} names"
        raise DataError(msg)
    if names:
        list_images(folder, found)
    return found


def stems_of(splits: Splits, part: str, dataset: str) -> tuple[str, ...]:
    """Return the stems of a data set's part.

    Raises:
        DataError: The splits name none.
    """
    stems = splits.get(part, {}).get(dataset, ())
    if not stems:
        msg = f"{SPLITS_FILE}: names no picture of {dataset!r} for {part!r}; add some"
        raise DataError(msg)
    return stems


def split_by_group(
    stems: Collection[str],
    pattern: str = DEFAULT_PATTERN,
    val_share: float = _VAL_SHARE,
    seed: int = 0,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split pictures by their source, so that no source is in both parts.

    Args:
        stems: Names of the pictures, in any order.
        pattern: Regular expression that matches a whole name; its first group is the source.
        val_share: Wanted share of the validation part, in (0, 1). The part is as large as
            whole sources allow without exceeding it, but never empty.
        seed: Chooses other sources.

    Returns:
        Training stems and validation stems, each sorted and not empty.

    Raises:
        DataError: The pattern is wrong or does not match a name, or all names have one source.
        ValueError: ``val_share`` is out of range.
    """
    if not 0.0 < val_share < 1.0:
        msg = f"val_share must be in (0, 1), got {val_share:g}"
        raise ValueError(msg)
    groups = _group(stems, pattern)
    if len(groups) < 2:  # noqa: PLR2004 - one for each part
        msg = (
            f"all {len(set(stems))} pictures have the same source, {', '.join(groups)!r}, and "
            f"cannot be split by their names with the pattern {pattern!r}; give another "
            f"pattern, or write {SPLITS_FILE}"
        )
        raise DataError(msg)

    def chance(source: str) -> bytes:
        # Not a shuffle: a source that is added later must not move the others.
        return hashlib.sha256(f"{seed}:{source}".encode()).digest()

    order = sorted(groups, key=chance)
    room = val_share * len(set(stems))
    validation: list[str] = []
    for source in order:
        if len(validation) + len(groups[source]) <= room:
            validation += groups[source]
    validation = validation or groups[min(order, key=lambda source: len(groups[source]))]
    return tuple(sorted(set(stems) - set(validation))), tuple(sorted(validation))


def _group(stems: Collection[str], pattern: str) -> dict[str, list[str]]:
    """Return source -> its stems."""
    try:
        compiled = re.compile(pattern)
    except re.error as exc:
        msg = f"{pattern!r} is not a regular expression ({exc})"
        raise DataError(msg) from exc
    if not compiled.groups:
        msg = f"the pattern {pattern!r} needs a group in brackets, which is the source"
        raise DataError(msg)
    groups = defaultdict(list)
    for stem in set(stems):
        match = compiled.fullmatch(stem)
        if match is None or match[1] is None:
            msg = f"the pattern {pattern!r} finds no source in the name {stem!r}"
            raise DataError(msg)
        groups[match[1]].append(stem)
    return dict(groups)


def _derive(data: Path) -> Splits:
    """Return the splits of the sets in ``data`` by the sources in the names."""
    splits: Splits = {"train": {}, "val": {}}
    for folder in sorted(data.iterdir()) if data.is_dir() else ():
        if not (folder / "images").is_dir() and not (folder / "JPEGImages").is_dir():
            continue
        try:
            stems = {path.stem for path in list_images(find_layout(folder).images)}
        except DataError as exc:
            logger.warning("%s; the folder is left out", exc)
            continue
        try:
            train, val = split_by_group(stems)
        except DataError as exc:
            logger.warning("%s: %s; all are for training", folder, exc)
            train, val = tuple(sorted(stems)), ()
        splits["train"][folder.name] = train
        if val:
            splits["val"][folder.name] = val
    if not splits["val"]:
        msg = f"{data}: has no {SPLITS_FILE}, and no data set that could be split by names"
        raise DataError(msg)
    return splits


def _parse(path: Path) -> Splits:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found: Splits = {part: {} for part in content}
        for part, sets in content.items():
            for key, stems in sets.items():
                # "flood_aerial_kaggle (auxiliary)": the remark is for people.
                name = key.partition(" (")[0]
                found[part][name] = found[part].get(name, ()) + _checked(stems)
    except (OSError, ValueError, AttributeError, TypeError) as exc:
        msg = f"{path}: cannot be read as splits ({exc})"
        raise DataError(msg) from exc
    problems = []
    for name, stems in found.get("train", {}).items():
        if both := sorted(set(stems) & set(found.get("val", {}).get(name, ()))):
            problems.append(f"{path}: {name}: both for train and for val: {some(both)}")
    if problems:
        raise DataError("\n".join(problems))
    return found


def _checked(stems: object) -> tuple[str, ...]:
    """Return the names of pictures as the file lists them."""
    if not isinstance(stems, list) or not all(isinstance(stem, str) for stem in stems):
        msg = f"{json.dumps(stems):.40} is no list of names in quotes"
        raise TypeError(msg)
    return tuple(stems)
