"""Writes what was drawn for one camera, its zones, gauges and ground, into the file it is in.

Nothing else of the file changes. What was changed is read back; a result that says anything
but the intended is refused, and then the text has the lines to put in by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lsm_monitor.config.compose import compose
from lsm_monitor.config.csv_cameras import parse_csv
from lsm_monitor.config.document import Document, parse
from lsm_monitor.config.edit_nodes import OverlapError, applied, mapping_edits
from lsm_monitor.config.edit_text import INDENT, block, newline
from lsm_monitor.errors import ConfigError

GEOMETRY_KEYS = ("zones", "gauges", "ground")

Geometry = Mapping[str, Any]
"""Of :data:`GEOMETRY_KEYS`, those that a camera has, with their values as in the file."""


def with_geometry(path: Path, camera_id: str, geometry: Geometry) -> tuple[str, str]:
    """Return the text of ``path`` before and after ``camera_id`` got another geometry.

    Args:
        path: The YAML file or the table in which the camera stands.
        camera_id: Its id.
        geometry: All that it shall have; a key that is not there, or empty, is taken out.

    Raises:
        ConfigError: The file cannot be read, does not have that camera, or must be edited by
            hand; the text then says what to put where.
    """
    document = _read(path)
    camera = _camera(document, camera_id)
    wanted = {key: geometry[key] for key in GEOMETRY_KEYS if geometry.get(key)}
    if wanted == _geometry_of(camera):
        return document.text, document.text
    if _is_table(path):
        raise ConfigError(_for_a_table(document, camera_id, wanted))
    rest = {key: value for key, value in camera.items() if key not in GEOMETRY_KEYS}
    for whole in (False, True):
        after = _rewritten(document, camera_id, {**rest, **wanted}, whole=whole)
        if after is not None:
            return document.text, after
    lines = block(wanted, INDENT, "") if wanted else f"  (no {', '.join(GEOMETRY_KEYS)})\n"
    msg = (
        f"{_place(document, camera_id)} cannot be edited safely: its lines have an alias or an "
        f"unusual form; write this in the place of its {', '.join(GEOMETRY_KEYS)} by hand:\n"
        f"{lines}"
    )
    raise ConfigError(msg)


def geometry_in(path: Path, camera_id: str) -> dict[str, Any]:
    """Return the geometry that ``camera_id`` has in the file ``path``, as it is written there.

    Raises:
        ConfigError: The file cannot be read, or does not have that camera.
    """
    return _geometry_of(_camera(_read(path), camera_id))


def _read(path: Path) -> Document:
    document = parse_csv(path, path.name) if _is_table(path) else parse(path, path.name)
    if document.problems:
        raise ConfigError("\n".join(problem.render() for problem in document.problems))
    return document


def _is_table(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _camera(document: Document, camera_id: str) -> dict[str, Any]:
    data = document.data if isinstance(document.data, dict) else {}
    cameras = data.get("cameras")
    camera = cameras.get(camera_id) if isinstance(cameras, dict) else None
    if not isinstance(camera, dict):
        msg = f"{document.name}: camera {camera_id!r} is not in this file"
        raise ConfigError(msg)
    return camera


def _geometry_of(camera: Mapping[str, Any]) -> dict[str, Any]:
    return {key: camera[key] for key in GEOMETRY_KEYS if camera.get(key)}


def _rewritten(
    document: Document, camera_id: str, camera: Mapping[str, Any], *, whole: bool
) -> str | None:
    """Return the text in which the camera says ``camera``; ``None`` if that did not work."""
    old = _camera(document, camera_id)
    if not old.keys() & camera.keys():
        return None
    added = "" if document.text.endswith("\n") else newline(document.text)
    text = document.text + added
    node: yaml.Node | None = compose(text)
    for key in ("cameras", camera_id):
        assert isinstance(node, yaml.MappingNode)  # noqa: S101 - the document has it
        node = next(value for name, value in node.value if name.value == key)
    assert isinstance(node, yaml.MappingNode)  # noqa: S101 - it is a dict there
    try:
        after = applied(mapping_edits(text, node, old, camera, whole=whole), text)
    except OverlapError:
        return None
    after = after.removesuffix(added)
    found = parse(Path(document.name), document.name, text=after)
    assert isinstance(document.data, dict)  # noqa: S101 - it has the camera
    cameras = {**document.data["cameras"], camera_id: dict(camera)}
    is_right = not found.problems and found.data == {**document.data, "cameras": cameras}
    return after if is_right else None


def _for_a_table(document: Document, camera_id: str, wanted: Geometry) -> str:
    before = dict(_cells(_geometry_of(_camera(document, camera_id))))
    after = dict(_cells(wanted))
    cells = [f"  {column}: {cell}" for column, cell in after.items()]
    cells += [f"  {column}: (empty)" for column in before.keys() - after.keys()]
    return (
        f"{_place(document, camera_id)} stands in a table, and tables are not edited here; "
        "put these cells into its row, or move it to a YAML file of the inventory:\n"
        + "\n".join(cells)
    )


def _cells(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the columns that say ``value``, with their cells."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _cells(inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", inner if isinstance(inner, str) else json.dumps(inner)


def _place(document: Document, camera_id: str) -> str:
    line = document.line(("cameras", camera_id))
    return f"{document.name}:{line}: camera {camera_id!r}"
