"""Where things stand in the text of a YAML file, and how new ones are written there.

The text is changed in the places that the node tree names. A round trip through a YAML library
would be shorter, but it writes the whole file anew: indentation, spaces and line breaks of an
operator's file would change with the first edit.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import yaml

INDENT = 2


class _Dumper(yaml.SafeDumper):
    """Keys below each other, lists (of corners) in one line; nothing becomes an alias."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


_Dumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=True
    ),
)


def block(entries: Mapping[str, Any], column: int, text: str) -> str:
    """Return ``entries`` as YAML lines that begin at ``column`` and end as in ``text``."""
    dumped: str = yaml.dump(
        dict(entries), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    lines = (" " * column + line for line in dumped.splitlines())
    return "".join(line + newline(text) for line in lines)


def inline(value: object) -> str:
    """Return ``value`` as YAML in one line, to stand inside brackets or after a key."""
    dumped: str = yaml.dump(
        [value],
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return dumped.strip()[1:-1]


def newline(text: str) -> str:
    """Return what ends the lines of ``text``."""
    return "\r\n" if "\r\n" in text else "\n"


def next_line(text: str, at: int) -> int:
    """Return where the line after ``at`` begins."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def line_start(text: str, at: int) -> int:
    """Return where the line of ``at`` begins."""
    return text.rfind("\n", 0, at) + 1


def end_of_entry(text: str, value: yaml.Node, column: int) -> int:
    """Return where the line after ``value`` begins, its own indented comments passed over.

    Args:
        text: The file.
        value: The last thing of the entry.
        column: Where the entry begins; a comment further to the right is its own.
    """
    while isinstance(value, yaml.CollectionNode) and not value.flow_style and value.value:
        last = value.value[-1]
        value = last[1] if isinstance(value, yaml.MappingNode) else last
    at = value.end_mark.index
    if value.end_mark.column > 0:
        at = next_line(text, at)
    while True:
        end = next_line(text, at)
        line = text[at:end]
        content = line.lstrip(" ")
        if not (content.startswith("#") and len(line) - len(content) > column):
            return at
        at = end


def difference(name: str, before: str, after: str) -> str:
    """Return how to get from ``before`` to ``after``, for people and for ``patch``.

    It holds lines of the file, so it may hold a password: whoever shows it redacts it first.
    """
    # By line feeds alone, as patch counts them: YAML and Python know more line breaks.
    lines = difflib.unified_diff(_lines(before), _lines(after), name, name, n=2)
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in lines
    )


def _lines(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines
