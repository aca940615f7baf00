"""What is written beside a plan, so that a plan is only loaded where it belongs.

A plan is a dump of a library's memory for one driver and one device: loaded elsewhere it
crashes, or answers wrongly and says nothing. The manifest tells for what it was built, and by
size and SHA-256 that it is whole. That finds accidents, not attacks: whoever can write into
the folder can write both files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"
PLAN_FILE = "plan"
ABSENT = "is not there"

_FORMAT = 1


def manifest_text(plan: Path, made_for: Mapping[str, str]) -> str:
    """Return the manifest of the finished file ``plan``.

    Raises:
        OSError: It cannot be read.
    """
    content = {
        "format": _FORMAT,
        "made_for": dict(sorted(made_for.items())),
        "size_bytes": plan.stat().st_size,
        "sha256": _sha256(plan),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(content, indent=1) + "\n"


def find_fault(folder: Path, made_for: Mapping[str, str]) -> str | None:
    """Say why the plan in ``folder`` must not be loaded; ``None`` when it may.

    Args:
        folder: Holds the plan and its manifest.
        made_for: What a plan must have been built for to be loaded here.

    Returns:
        A predicate to follow the name of the plan: :data:`ABSENT`, ``was built for driver
        550.1, this machine has 560.2``.
    """
    plan, manifest = folder / PLAN_FILE, folder / MANIFEST_FILE
    try:
        return _fault(plan, json.loads(manifest.read_bytes()), made_for)
    except FileNotFoundError:
        if plan.exists():
            return "has no manifest"
        return "has lost its file" if manifest.exists() else ABSENT
    except OSError as exc:
        return f"cannot be read ({exc.strerror})"
    except (ValueError, TypeError, KeyError, RecursionError):  # also not UTF-8, too deep
        return "has a damaged manifest"


def _fault(plan: Path, manifest: Any, made_for: Mapping[str, str]) -> str | None:  # noqa: ANN401 - JSON
    """Raises ValueError, TypeError, KeyError: it is no manifest."""
    if manifest["format"] != _FORMAT:
        return f"has a manifest of format {manifest['format']!r}, this release knows {_FORMAT}"
    if manifest["made_for"] != made_for:
        return _differences(dict(manifest["made_for"]), made_for)
    found_bytes = plan.stat().st_size
    if found_bytes != manifest["size_bytes"]:
        return f"is damaged (it has {found_bytes} bytes, not {manifest['size_bytes']})"
    if _sha256(plan) != manifest["sha256"]:
        return "is damaged (its SHA-256 is another)"
    return None


def _differences(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    names = [n for n in sorted({*found, *wanted}) if found.get(n) != wanted.get(n)]
    built_for = ", ".join(f"{name} {found.get(name, '(not named)')}" for name in names)
    here = ", ".join(wanted.get(name, "(not named)") for name in names)
    return f"was built for {built_for}, this machine has {here}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
