"""A bundle's folder on disk: read with words for what is wrong, replaced in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from lsm_monitor.errors import BundleError

REINSTALL = "the bundle is damaged; copy or export it again, or reinstall lsm-monitor"


def read_file(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        BundleError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as exc:
        msg = f"{path}: cannot be read ({exc.strerror}); {REINSTALL}"
        raise BundleError(msg) from exc


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder.

    Raises:
        BundleError: One of the folders above it may not be looked into, as somebody's home.
    """
    try:
        return path.is_dir()
    except OSError as exc:
        msg = f"{path}: cannot be looked at ({exc.strerror}); use a folder this user may read"
        raise BundleError(msg) from exc


def check_replaceable(folder: Path, names: Collection[str]) -> None:
    """Check that writing ``names`` to ``folder`` would delete nothing else.

    Raises:
        BundleError: It would, or the folder cannot be looked at.
    """
    if not is_folder(folder) and folder.exists():
        msg = f"{folder}: is a file; choose another folder"
        raise BundleError(msg)
    strangers = sorted({path.name for path in folder.glob("*")} - set(names))
    if strangers:
        msg = f"{folder}: holds other files ({', '.join(strangers[:3])}); choose another folder"
        raise BundleError(msg)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace ``folder`` by ``files``, name -> content, once everything is on disk.

    Raises:
        BundleError: It is or holds another file, or cannot be written.
    """
    check_replaceable(folder, files)
    try:
        _replace_folder(folder, files)
    except OSError as exc:
        msg = f"{folder}: cannot write the bundle ({exc.strerror}); choose another folder"
        raise BundleError(msg) from exc


def _replace_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as temporary:
        fresh = Path(temporary, "fresh")
        fresh.mkdir()
        for name, content in files.items():
            with (fresh / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(Path(temporary, "old"))
        fresh.rename(folder)
