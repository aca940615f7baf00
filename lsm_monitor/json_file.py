"""Small JSON files that survive a power cut: either the old content is there, or the new.

A file that cannot be read as JSON is renamed and kept, never deleted: a person may still
want to know what was in it.
"""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime
from pathlib import Path

from lsm_monitor.errors import StoreError

logger = logging.getLogger(__name__)


def read(path: Path, *, now: datetime) -> object:
    """Return what the file says, or ``None`` when there is no file, or it was damaged.

    Raises:
        StoreError: The file is there and cannot be opened, or not be set aside.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _refused(path, "read", exc) from exc
    except (ValueError, RecursionError) as exc:
        set_aside(path, now=now, why=str(exc))
        return None


def write(path: Path, content: object) -> None:
    """Replace the file's content, at once and for good.

    Raises:
        StoreError: The disk refuses; the old content stands.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as exc:
        raise _refused(path, "written", exc) from exc


def set_aside(path: Path, *, now: datetime, why: str) -> None:
    """Rename a damaged file to ``<name>.corrupt-<now>`` and say so.

    Raises:
        StoreError: It cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.corrupt-{now:%Y%m%dT%H%M%SZ}")
    try:
        path.rename(aside)
    except OSError as exc:
        raise _refused(path, "renamed", exc) from exc
    logger.error("%s: damaged (%s); kept as %s, starting afresh", path, why, aside.name)


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refused(path: Path, verb: str, exc: OSError) -> StoreError:
    return StoreError(
        f"{path}: cannot be {verb} ({exc.strerror}); check that the disk is neither full nor "
        "read-only, and that the folder belongs to the daemon's user"
    )
