"""Adds a camera to a YAML file, or takes one out, and touches nothing else of it.

The text is changed where the node tree says that the camera stands, and what was changed is
read back: a result that says anything but the intended is refused.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lsm_monitor.config.compose import compose
from lsm_monitor.config.document import Document, parse, read_text
from lsm_monitor.config.edit_text import (
    INDENT,
    block,
    end_of_entry,
    line_start,
    newline,
    next_line,
)
from lsm_monitor.errors import ConfigChangedError, ConfigError, ConfigNotWritableError


def with_camera(path: Path, camera_id: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text of ``path`` before and after ``camera_id`` is added as the last camera.

    Raises:
        ConfigError: The file cannot be read, has that camera already, or is written in a way
            that must be edited by hand; the text holds the lines to add.
    """
    before, cameras = _read(path)
    if camera_id in cameras:
        msg = f"{path.name}: camera {camera_id!r} is already there; 'cameras rm' removes it"
        raise ConfigError(msg)
    after = _insert(before, camera_id, settings)
    if not _says(after, path, before, {**cameras, camera_id: dict(settings)}):
        lines = block({camera_id: dict(settings)}, INDENT, before)
        msg = (
            f"{path.name}: cannot be edited safely; add this under 'cameras' by hand:\n{lines}"
        )
        raise ConfigError(msg)
    return before, after


def without_camera(path: Path, camera_id: str) -> tuple[str, str]:
    """Return the text of ``path`` before and after ``camera_id`` is taken out.

    Raises:
        ConfigError: The file cannot be read, does not have that camera, or is written in a
            way that must be edited by hand.
    """
    before, cameras = _read(path)
    if camera_id not in cameras:
        msg = f"{path.name}: there is no camera {camera_id!r} in this file"
        raise ConfigError(msg)
    after = _cut(before, camera_id)
    rest = {name: camera for name, camera in cameras.items() if name != camera_id}
    if not _says(after, path, before, rest):
        msg = f"{path.name}: cannot be edited safely; remove {camera_id!r} by hand"
        raise ConfigError(msg)
    return before, after


def replace_text(path: Path, before: str, after: str) -> None:
    """Replace ``before`` by ``after`` in ``path``: completely or not at all, also in a crash.

    Raises:
        ConfigChangedError: It holds something else than ``before`` by now.
        ConfigNotWritableError: It cannot be written.
        ConfigError: It cannot be read.
    """
    path = path.resolve()  # the file behind a link, not the link
    if read_text(path) != before:
        msg = f"{path.name}: was changed by somebody else in this moment; try again"
        raise ConfigChangedError(msg)
    try:
        mark = _byte_order_mark(path)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            fresh = Path(file.name)
            try:
                status = path.stat()
                os.fchmod(file.fileno(), status.st_mode)
                with contextlib.suppress(PermissionError):  # somebody else's file in our group
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
                file.write(mark + after.encode())
                file.flush()
                os.fsync(file.fileno())
                fresh.replace(path)
            except BaseException:
                fresh.unlink()
                raise
    except OSError as exc:
        msg = f"{path}: cannot be written ({exc.strerror}); nothing was changed"
        raise ConfigNotWritableError(msg) from None


def _byte_order_mark(path: Path) -> bytes:
    with path.open("rb") as file:
        mark = file.read(len(codecs.BOM_UTF8))
    return mark if mark == codecs.BOM_UTF8 else b""


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    document = parse(path, path.name)
    if document.problems or not isinstance(document.data, dict):
        problems = [problem.render() for problem in document.problems]
        raise ConfigError("\n".join(problems) or f"{path.name}: is not a mapping")
    return document.text, _split(document)[1]


def _says(text: str, path: Path, before: str, cameras: Mapping[str, Any]) -> bool:
    """Return whether ``text`` says what ``before`` said, but with these cameras."""
    old, new = (parse(path, path.name, text=each) for each in (before, text))
    return not new.problems and _split(new) == (_split(old)[0], cameras)


def _split(document: Document) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the file says besides its cameras, and its cameras."""
    data = dict(document.data) if isinstance(document.data, dict) else {}
    cameras = data.pop("cameras", None)
    return data, cameras if isinstance(cameras, dict) else {}


def _insert(text: str, camera_id: str, settings: Mapping[str, Any]) -> str:
    root = compose(text)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - _read() has seen it
    found = [pair for pair in root.value if pair[0].value == "cameras"]
    if not found:
        text += "" if text.endswith("\n") else "\n"
        lines = block({camera_id: dict(settings)}, INDENT, text)
        return f"{text}{newline(text)}cameras:{newline(text)}{lines}"
    key, cameras = found[0]
    if isinstance(cameras, yaml.MappingNode) and cameras.value:
        first_key = cameras.value[0][0]
        column = first_key.start_mark.column
        at = end_of_entry(text, cameras.value[-1][1], column)
    else:
        column = key.start_mark.column + INDENT
        at = next_line(text, key.end_mark.index)
    head = text[:at]
    head += "" if head.endswith("\n") else newline(text)
    return head + block({camera_id: dict(settings)}, column, text) + text[at:]


def _cut(text: str, camera_id: str) -> str:
    root = compose(text)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - _read() has seen it
    cameras = next(value for key, value in root.value if key.value == "cameras")
    key, value = next(pair for pair in cameras.value if pair[0].value == camera_id)
    start = line_start(text, key.start_mark.index)
    return text[:start] + text[end_of_entry(text, value, key.start_mark.column) :]
