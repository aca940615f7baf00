"""Cameras that stand in other files than the main one.

``inventory`` in the main file names tables, YAML files and folders of both. They hold nothing
but cameras, and one level is all there is: an inventory cannot name another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsm_monitor.config.csv_cameras import parse_csv
from lsm_monitor.config.document import Document, parse

_PARSERS = {".csv": parse_csv, ".yaml": parse, ".yml": parse}


@dataclass(frozen=True, slots=True)
class Gathered:
    """All cameras of a configuration, before any is checked.

    Attributes:
        cameras: What each says, by id; raw.
        homes: The document in which each stands.
    """

    cameras: dict[str, Any]
    homes: dict[str, Document]


def read(
    main: Document, base_dir: Path, texts: Mapping[Path, str]
) -> tuple[list[Document], list[Path]]:
    """Read what ``main`` names under ``inventory``.

    Args:
        main: The main file; entries that name nothing readable become its problems.
        base_dir: Its folder; relative entries start there.
        texts: Read these, as if they stood in the YAML files whose resolved paths they have.

    Returns:
        One document per file, in order, and the paths that a change could come from: the
        files, and the folders to which a file may be added.
    """
    documents: list[Document] = []
    watched: list[Path] = []
    seen = {_identity(base_dir / main.name): main.name}
    entries = main.data.get("inventory") if isinstance(main.data, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, str):
            continue  # the types say it better
        try:
            paths = list(_files(base_dir / entry))
        except (OSError, ValueError) as exc:
            main.add(("inventory", index), str(exc))
            continue
        watched += [base_dir / entry, *paths]
        for path in paths:
            name = os.path.relpath(path, base_dir)
            if _identity(path) in seen:
                text = f"{name} is already read as {seen[_identity(path)]}; remove one"
                main.add(("inventory", index), text)
                continue
            seen[_identity(path)] = name
            instead = texts.get(path.resolve())
            document = (
                _PARSERS[path.suffix.lower()](path, name)
                if instead is None
                else parse(path, name, text=instead)
            )
            _expect_only_cameras(document, main.name)
            documents.append(document)
    return documents, list(dict.fromkeys(watched))


def gather(documents: Iterable[Document]) -> Gathered:
    """Put the cameras of all ``documents`` together; one that is given twice is a problem."""
    result = Gathered({}, {})
    for document in documents:
        cameras = document.data.get("cameras") if isinstance(document.data, dict) else None
        for name, camera in (cameras if isinstance(cameras, dict) else {}).items():
            location = ("cameras", name)
            if name in result.homes:
                first = result.homes[name]
                place = f"{first.name}:{first.line(location)}"
                document.add(location, f"is already given in {place}; remove one")
                continue
            result.cameras[name] = camera
            result.homes[name] = document
    return result


def _files(path: Path) -> Iterator[Path]:
    """Yield the files that an entry stands for.

    Raises:
        ValueError: It stands for none.
        OSError: The folder cannot be read.
    """
    if path.is_dir():
        yield from (
            each
            for each in sorted(path.iterdir())
            if each.suffix.lower() in _PARSERS and not each.name.startswith(".")
        )
    elif path.is_file() and path.suffix.lower() in _PARSERS:
        yield path
    else:
        what = "is no .csv or .yaml file" if path.exists() else "is not there"
        msg = f"{path} {what}; name a table, a YAML file, or a folder of them"
        raise ValueError(msg)


def _identity(path: Path) -> tuple[int, int] | Path:
    """Return what two names of the same file share."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _expect_only_cameras(document: Document, main_name: str) -> None:
    if document.data is None:
        return  # an empty file, or problems enough
    if not isinstance(document.data, dict):
        document.add((), "an inventory is a mapping that starts with 'cameras:'")
        return
    for key in document.data:
        if key == "inventory":
            text = f"an inventory cannot name another; name the file in {main_name}"
            document.add((key,), text)
        elif key != "cameras":
            text = f"only 'cameras' may stand in an inventory; move it to {main_name}"
            document.add((key,), text)
    cameras = document.data.get("cameras")
    if cameras is not None and not isinstance(cameras, dict):
        document.add(("cameras",), "must be a mapping: indent its keys below it")
