"""Cameras from a table: what a city's asset register exports, one camera in a row.

The first line names the columns: ``id``, and keys of a camera with dots between levels, such
as ``levels.ponding.enter`` or ``zones.lane-1.points``. An empty cell says nothing, so that the
group's value holds. Lists and maps are written as JSON. What spreadsheets do is understood: a
byte order mark, semicolons or tabs, a ``sep=`` line, decimal commas, empty rows and columns.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lsm_monitor.config.document import Document, UnreadableError, read_text
from lsm_monitor.config.models import CameraConfig

_REMEDY = "save the table as UTF-8; Excel calls it 'CSV UTF-8'"
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_MAX_BROKEN_ROWS = 100  # each may hide the rows after it; the file is refused anyway


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: where its cells go, and whether they are text whatever they look like."""

    key: tuple[str, ...]
    is_text: bool


def parse_csv(path: Path, name: str) -> Document:
    """Read the table ``path``; whatever is wrong with it is in the result's ``problems``.

    Args:
        path: The file.
        name: How messages call it.
    """
    document = Document(name)
    try:
        document.text = read_text(path, remedy=_REMEDY)
    except UnreadableError as exc:
        document.add_at(exc.line, (), str(exc))
        return document
    lines = list(io.StringIO(document.text, newline=""))
    separator = re.fullmatch(r'"?sep=(.)"?\s*', lines[0]) if lines else None
    skipped = 1 if separator else 0
    head = "".join(lines[skipped : skipped + 1])
    delimiter = separator[1] if separator else max(",;\t", key=head.count)
    rows = _rows(lines, skipped, delimiter, document)
    header_line, header = next(rows, (1, []))
    columns = _columns(header, header_line, document)
    if columns is not None:
        table = _Table(document, columns, delimiter)
        for line, row in rows:
            table.add_row(line, row)
        document.data = {"cameras": table.cameras}
    return document


def _rows(
    lines: list[str], first: int, delimiter: str, document: Document
) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not empty, with the 1-based line in which it begins."""
    broken = 0
    while first < len(lines) and broken < _MAX_BROKEN_ROWS:
        reader = csv.reader(
            itertools.islice(lines, first, None), delimiter=delimiter, strict=True
        )
        begin = first
        try:
            for row in reader:
                if any(map(str.strip, row)):
                    yield begin + 1, row
                begin = first + reader.line_num
        except csv.Error as exc:
            broken += 1
            spans_lines = begin + 1 < first + reader.line_num
            is_open = spans_lines or "unexpected end of data" in str(exc)
            why = "a quoted cell begins here and does not end" if is_open else str(exc)
            document.add_at(begin + 1, (), f"this row cannot be read: {why}; mend its quotes")
            first = begin + 1  # the rows that the open quote swallowed are rows, too
        else:
            return


def _columns(header: list[str], line: int, document: Document) -> list[_Column | None] | None:
    """Return a column for each cell of the header, ``None`` for a nameless one.

    The whole result is ``None`` when the rows would make no sense under this header.
    """
    names = [cell.strip().lower() for cell in header]
    problems = []
    if "id" not in names:
        problems.append(
            "there is no column 'id'; the first line names them, as in: id,url,group"
        )
    columns: list[_Column | None] = []
    for name in names:
        key = tuple(name.split("."))
        is_text = True if name == "id" else _is_text(key)
        if name and is_text is None:
            close = difflib.get_close_matches(name, ["id", *_schema()["properties"]], n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            problems.append(f"unknown column {name!r}{hint}")
        columns.append(_Column(key, bool(is_text)) if name else None)
    named = sorted(filter(None, names))
    for one, other in itertools.pairwise(named):
        if other == one or other.startswith(f"{one}."):
            problems.append(f"columns {one!r} and {other!r} say the same; remove one")
    for text in problems:
        document.add_at(line, (), text)
    return None if problems else columns


class _Table:
    """The cameras of one file, row by row."""

    def __init__(
        self, document: Document, columns: list[_Column | None], delimiter: str
    ) -> None:
        self._document = document
        self._columns = columns
        self._has_decimal_commas = delimiter != ","
        self.cameras: dict[str, dict[str, Any]] = {}

    def add_row(self, line: int, row: list[str]) -> None:
        width = len(self._columns)
        if len(row) < width or any(map(str.strip, row[width:])):
            text = (
                f"has {len(row)} cells, the first line {width}; is a cell with a comma quoted?"
            )
            self._document.add_at(line, (), text)
            return
        camera: dict[str, Any] = {}
        name = ""
        for number, cell in enumerate(map(str.strip, row[:width]), 1):
            column = self._columns[number - 1]
            if column is None and cell:
                text = f"cell {number} is not empty, but its column has no name"
                self._document.add_at(line, (), text)
            elif column is not None and column.key == ("id",):
                name = cell
            elif column is not None and cell:
                try:
                    _put(camera, column.key, self._value(column, cell))
                except ValueError as exc:
                    self._document.add_at(line, column.key, str(exc))
                    return  # or the types would complain about the same cell
        self._add_camera(name, camera, line)

    def _add_camera(self, name: str, camera: dict[str, Any], line: int) -> None:
        document, location = self._document, ("cameras", name)
        if not name:
            document.add_at(line, (), "'id' is empty; every camera needs one")
        elif name in self.cameras:
            first = document.lines[location]
            document.add_at(line, location, f"is already given in line {first}; remove one")
        else:
            document.lines[location] = line
            self.cameras[name] = camera

    def _value(self, column: _Column, cell: str) -> object:
        if not column.is_text and cell.startswith(("[", "{")):
            try:
                return json.loads(cell, object_pairs_hook=_without_repeats)
            except (json.JSONDecodeError, RecursionError):
                msg = "is not JSON, as in [[0.1, 0.9], [0.5, 0.4], [0.9, 0.9]]"
                raise ValueError(msg) from None
        if not column.is_text and self._has_decimal_commas and _DECIMAL_COMMA.fullmatch(cell):
            return cell.replace(",", ".")
        return cell


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object; one of two equal keys would otherwise vanish without a word."""
    result = dict(pairs)
    if len(result) < len(pairs):
        msg = f"has a key twice: {', '.join(key for key, _ in pairs)}"
        raise ValueError(msg)
    return result


def _put(camera: dict[str, Any], key: tuple[str, ...], value: object) -> None:
    *path, last = key
    for part in path:
        camera = camera.setdefault(part, {})
    camera[last] = value


def _is_text(key: tuple[str, ...]) -> bool | None:
    """Return whether a camera's ``key`` holds text, or ``None`` when there is no such key."""
    nodes: list[Mapping[str, Any]] = [_schema()]
    for part in key:
        nodes = [child for node in nodes for child in _children(node, part)]
    kinds = [node.get("type") for node in nodes]
    return "string" in kinds if kinds else None


def _children(node: Mapping[str, Any], part: str) -> Iterator[Mapping[str, Any]]:
    """Yield what a JSON Schema says about ``part`` of ``node``, all alternatives."""
    if part in node.get("properties", {}):
        yield from _alternatives(node["properties"][part])
    for pattern, child in node.get("patternProperties", {}).items():
        if re.search(pattern, part):
            yield from _alternatives(child)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _alternatives(node["additionalProperties"])


def _alternatives(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in node:
        node = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
    if "anyOf" in node:
        for child in node["anyOf"]:
            yield from _alternatives(child)
    else:
        yield node


@functools.cache
def _schema() -> dict[str, Any]:
    return CameraConfig.model_json_schema()
