"""Which files of an episode a crash has left behind: those that no sidecar can name.

A sidecar that cannot be read may name every file of its event. So none of them is a leftover:
a disk that reads badly once, or a daemon of an older version, must not cost evidence.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from lsm_monitor.evidence import sidecar as sidecars
from lsm_monitor.evidence.sidecar import EvidenceKind, file_name

_PART: Final = ".part"


def part_name(name: str) -> str:
    """Return under which name a file is written before all of it is on the disk."""
    return f".{name}{_PART}"


def is_ours(name: str) -> bool:
    """Return whether a file can be one of ours, or the beginning of one."""
    return sidecars.is_file_name(name) or _is_part(name)


def leftovers(folder: Path, names: Collection[str]) -> set[str]:
    """Return those of the files ``names`` in ``folder`` that no sidecar can name.

    What somebody else has put there is none.
    """
    found = {name for name in names if _is_part(name)}
    by_seq: dict[int, set[str]] = {}
    for name in names:
        if (seq := sidecars.seq_of(name)) is not None:
            by_seq.setdefault(seq, set()).add(name)
    for seq, ours in by_seq.items():
        sidecar = file_name(seq, EvidenceKind.SIDECAR)
        claimed = sidecars.claimed_by(folder / sidecar) if sidecar in ours else frozenset()
        if claimed is not None:
            found |= ours - claimed
    return found


def _is_part(name: str) -> bool:
    bare = name.removeprefix(".").removesuffix(_PART)
    return sidecars.is_file_name(bare) and name == part_name(bare)
