"""What stands beside the pictures of an event: which files there are, and their hashes.

A file counts when a sidecar names it and it has the size that stands there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

SCHEMA: Final = "lsm.evidence/1"
NOT_YET: Final = "not there yet"
"""Why something is missing that may still come; after a crash it never will."""
Json = dict[str, Any]  # parsed JSON of our own


class EvidenceKind(StrEnum):
    """What a file shows. Values are part of the HTTP interface."""

    SNAPSHOT = "snapshot"
    RAW = "raw"
    MASK = "mask"
    MAIN = "main"
    CLIP = "clip"
    SIDECAR = "sidecar"


_SUFFIXES: Final[Mapping[EvidenceKind, str]] = {
    EvidenceKind.SNAPSHOT: ".jpg",
    EvidenceKind.RAW: ".raw.jpg",
    EvidenceKind.MASK: ".mask.png",
    EvidenceKind.MAIN: ".main.jpg",
    EvidenceKind.CLIP: ".mp4",
    EvidenceKind.SIDECAR: ".json",
}
_NAME = re.compile("([1-9][0-9]{0,8})(?:" + "|".join(map(re.escape, _SUFFIXES.values())) + ")")


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file that is there and whole; ``sha256`` is ``None`` for the sidecar itself."""

    seq: int
    name: str
    kind: EvidenceKind
    size_bytes: int
    sha256: str | None


def file_name(seq: int, kind: EvidenceKind) -> str:
    """Return the name of a file in its episode's folder, such as ``2.raw.jpg``."""
    return f"{seq}{_SUFFIXES[kind]}"


def is_file_name(name: str) -> bool:
    """Return whether ``name`` can be one of ours; one that is not may be anything."""
    return seq_of(name) is not None


def seq_of(name: str) -> int | None:
    """Return the event's number in the name of one of our files; ``None``: it is not ours."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def described(seq: int, kind: EvidenceKind, data: bytes) -> Json:
    """Return what a sidecar says about a file."""
    digest = hashlib.sha256(data).hexdigest()
    name = file_name(seq, kind)
    return {"name": name, "kind": kind.value, "bytes": len(data), "sha256": digest}


def encoded(sidecar: Json) -> bytes:
    """Return a sidecar as the bytes of its file."""
    return json.dumps(sidecar, indent=1, ensure_ascii=False).encode(errors="replace") + b"\n"


def with_file(sidecar: Json, entry: Json) -> Json:
    """Return ``sidecar`` with one more file, which is missing no longer."""
    others = [file for file in sidecar["files"] if file["kind"] != entry["kind"]]
    missing = [lack for lack in sidecar["missing"] if lack["kind"] != entry["kind"]]
    return {**sidecar, "files": [*others, entry], "missing": missing}


def without_file(sidecar: Json, kind: EvidenceKind, reason: str) -> Json:
    """Return ``sidecar`` with the reason why a file will not come."""
    others = [lack for lack in sidecar["missing"] if lack["kind"] != kind.value]
    return {**sidecar, "missing": [*others, {"kind": kind.value, "reason": reason}]}


def read(path: Path) -> Json:
    """Return the sidecar at ``path``.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not one.
    """
    try:
        sidecar = json.loads(path.read_bytes())
    except RecursionError:
        sidecar = None
    if not isinstance(sidecar, dict) or sidecar.get("schema") != SCHEMA:
        msg = f"{path} is not a sidecar"
        raise ValueError(msg)
    return sidecar


def files_of(path: Path) -> Iterator[EvidenceFile]:
    """Yield the files that the sidecar at ``path`` names and that are whole, and itself.

    Nothing when it is not a sidecar, or cannot be read. A file that is gone, or that the disk
    does not show, is left out; the others count.
    """
    seq = seq_of(path.name)
    if seq is None:
        return
    try:
        named = _named(seq, read(path))
    except (OSError, ValueError, KeyError, TypeError):
        return
    for file in named:
        with contextlib.suppress(OSError):
            if (path.parent / file.name).stat().st_size == file.size_bytes:
                yield file
    with contextlib.suppress(OSError):
        size_bytes = path.stat().st_size
        yield EvidenceFile(seq, path.name, EvidenceKind.SIDECAR, size_bytes, None)


def claimed_by(path: Path) -> frozenset[str] | None:
    """Return the names in the sidecar at ``path``, its own among them; ``None``: unknown.

    That is so when it cannot be read, was damaged, or is of another version: then any file of
    its number may be one that it names.
    """
    seq = seq_of(path.name)
    try:
        named = [] if seq is None else _named(seq, read(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return frozenset({path.name, *(file.name for file in named)})


def _named(seq: int, sidecar: Json) -> list[EvidenceFile]:
    """Return the files that a sidecar names, whole or not.

    Raises:
        ValueError: It was damaged; as KeyError and TypeError.
    """
    named = []
    for entry in sidecar["files"]:
        kind = EvidenceKind(entry["kind"])
        name = file_name(seq, kind)
        named.append(EvidenceFile(seq, name, kind, entry["bytes"], entry["sha256"]))
    return named
