"""Which plan: what it is of, and where it runs."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

IDENTITY = frozenset({"fingerprint", "precision", "max_batch", "device", "threads"})
"""Fields of a key that tell which plan is meant; all others tell where it runs."""


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Which plan.

    Attributes:
        graph: Name of the graph: letters, digits, ``_`` and ``-``.
        backend: Name of the backend, likewise.
        fields: Everything that must be as it was when the plan was built: those of
            :data:`IDENTITY`, and the library's version, the driver's, the device's name.

    Raises:
        ValueError: A name has other characters.
    """

    graph: str
    backend: str
    fields: Mapping[str, str]

    def __post_init__(self) -> None:
        for name in (self.graph, self.backend):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
                msg = f"{name!r} cannot be a part of a folder's name"
                raise ValueError(msg)

    @property
    def name(self) -> str:
        """Name of the plan's folder."""
        identity = {name: self.fields[name] for name in IDENTITY & self.fields.keys()}
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"{self.graph}-{self.backend}-{digest[:16]}"

    @property
    def made_for(self) -> dict[str, str]:
        """What the manifest must say."""
        names = {"graph": self.graph, "backend": self.backend, "lsm-monitor": _software()}
        return {**names, **self.fields}


def _software() -> str:
    try:
        return importlib.metadata.version("lsm-monitor")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
