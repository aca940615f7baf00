"""Changes a value in the text of a YAML file, and only the characters that say it.

What is equal keeps its characters: a corner that is moved changes two numbers, a zone that is
added one line, and the comments and the spelling (0.10) of all the others stay.
"""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from lsm_monitor.config.edit_text import (
    block,
    end_of_entry,
    inline,
    line_start,
    newline,
)


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters ``start`` up to ``end`` become ``text``."""

    start: int
    end: int
    text: str


class OverlapError(Exception):
    """Two edits want the same characters: an alias, or a way of writing nobody thought of."""


def applied(edits: Iterable[Edit], text: str) -> str:
    """Return ``text`` after all ``edits``.

    Raises:
        OverlapError: They do not fit beside each other.
    """
    ordered = sorted(edits)
    for one, other in itertools.pairwise(ordered):
        if one.end > other.start:
            raise OverlapError
    for edit in reversed(ordered):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def edits(text: str, node: yaml.Node, old: object, new: object) -> Iterator[Edit]:
    """Yield what makes ``node``, which says ``old``, say ``new``.

    Args:
        text: The file in which ``node`` stands.
        node: Its place.
        old: Its value.
        new: Another one; an empty collection is written as such.
    """
    if old == new:
        return
    if isinstance(node, yaml.MappingNode) and isinstance(old, dict) and isinstance(new, dict):
        if old.keys() & new.keys():
            yield from mapping_edits(text, node, old, new)
            return
    elif isinstance(node, yaml.SequenceNode) and isinstance(new, list) and old and new:
        assert isinstance(old, list)  # noqa: S101 - what the node says
        yield from _sequence_edits(text, node, old, new)
        return
    yield _whole(text, node, new)


def mapping_edits(
    text: str,
    node: yaml.MappingNode,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    whole: bool = False,
) -> Iterator[Edit]:
    """Yield what makes a mapping say ``new``; at least one key stays.

    Args:
        text: The file in which ``node`` stands; its last line ends as the others do.
        node: Its place.
        old: Its value.
        new: Another one. New keys come last, in their order.
        whole: Write a value that differs anew, whatever of it is equal.
    """
    entries = _Entries(
        text,
        node,
        list(node.value),
        [key.value in new for key, _ in node.value],
    )
    for key, value in node.value:
        if key.value not in new or old[key.value] == new[key.value]:
            continue
        if whole and not node.flow_style:
            start = line_start(text, key.start_mark.index)
            lines = block({key.value: new[key.value]}, entries.column, text)
            yield Edit(start, end_of_entry(text, value, entries.column), lines)
        elif whole:
            yield _whole(text, value, new[key.value])
        else:
            yield from edits(text, value, old[key.value], new[key.value])
    yield from entries.removals()
    added = {key: value for key, value in new.items() if key not in old}
    if not added:
        return
    last = len(node.value) - 1
    spelled = [f"{inline(key)}: {inline(value)}" for key, value in added.items()]
    if node.flow_style:
        yield entries.insertion_after(last, spelled)
    elif all(
        isinstance(value, yaml.MappingNode) and value.flow_style for _, value in node.value
    ):
        yield entries.lines_after(last, spelled)  # as the others are written
    else:
        yield entries.lines_after(last, block(added, 0, "").splitlines())


def _sequence_edits(
    text: str, node: yaml.SequenceNode, old: list[Any], new: list[Any]
) -> Iterator[Edit]:
    keeps = [True] * len(old)
    inserted: list[tuple[int, list[Any]]] = []
    matcher = difflib.SequenceMatcher(None, _spelled(old), _spelled(new), autojunk=False)
    for _, first, last, new_first, new_last in matcher.get_opcodes():
        paired = min(last - first, new_last - new_first)
        for i in range(paired):
            yield from edits(text, node.value[first + i], old[first + i], new[new_first + i])
        keeps[first + paired : last] = [False] * (last - first - paired)
        if new_first + paired < new_last:
            inserted.append((first + paired - 1, new[new_first + paired : new_last]))
    entries = _Entries(text, node, [(item, item) for item in node.value], keeps)
    yield from entries.removals()
    for index, items in inserted:
        spelled = [inline(item) for item in items]
        if node.flow_style:
            yield entries.insertion_after(index, spelled)
        else:
            yield entries.lines_after(index, [f"- {each}" for each in spelled])


def _spelled(values: Iterable[object]) -> list[str]:
    return [json.dumps(value, sort_keys=True, default=str) for value in values]


def _whole(text: str, node: yaml.Node, new: object) -> Edit:
    """Return what writes ``new`` in the place of everything that ``node`` is."""
    start, end = node.start_mark.index, node.end_mark.index
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        return Edit(start, end, inline(new))
    # A block ends where the next thing begins, behind comments that are not its own.
    column = node.start_mark.column
    end = end_of_entry(text, node, column)
    if isinstance(new, dict) and new:
        return Edit(start, end, block(new, column, text).lstrip(" "))
    return Edit(start, end, inline(new) + newline(text))


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a collection, each from its first to its last node, and which stay."""

    text: str
    node: yaml.CollectionNode
    spans: list[tuple[yaml.Node, yaml.Node]]
    keeps: list[bool]

    @property
    def column(self) -> int:
        """Where the entries of a block begin."""
        return int(self.node.start_mark.column if self._is_list else self._first_column)

    @property
    def _is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def _first_column(self) -> int:
        return int(self.spans[0][0].start_mark.column)

    def removals(self) -> Iterator[Edit]:
        """Yield what takes out the entries that do not stay."""
        first_kept = self.keeps.index(True)
        for index, is_kept in enumerate(self.keeps):
            if is_kept:
                continue
            first, last = self.spans[index]
            if not self.node.flow_style:
                start = line_start(self.text, first.start_mark.index)
                yield Edit(start, end_of_entry(self.text, last, self.column), "")
            elif index < first_kept:  # with the comma behind it
                following = self.spans[index + 1][0]
                yield Edit(first.start_mark.index, following.start_mark.index, "")
            else:  # with the comma before it
                before = self.spans[index - 1][1]
                yield Edit(before.end_mark.index, last.end_mark.index, "")

    def insertion_after(self, index: int, spelled: list[str]) -> Edit:
        """Return what puts entries into brackets, behind the entry ``index``; -1: first."""
        if index < 0:
            at = self.spans[0][0].start_mark.index
            return Edit(at, at, "".join(f"{each}, " for each in spelled))
        at = self.spans[index][1].end_mark.index
        return Edit(at, at, "".join(f", {each}" for each in spelled))

    def lines_after(self, index: int, lines: list[str]) -> Edit:
        """Return what puts ``lines`` into a block, behind the entry ``index``; -1: first."""
        added = "".join(f"{' ' * self.column}{line}{newline(self.text)}" for line in lines)
        if index < 0:
            at = line_start(self.text, self.spans[0][0].start_mark.index)
        else:
            at = end_of_entry(self.text, self.spans[index][1], self.column)
        return Edit(at, at, added)
