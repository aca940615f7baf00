"""A YAML file as plain values that remember their lines.

One walk over PyYAML's node tree instead of ``safe_load``, for two reasons: an error needs the
line of its key, and ``safe_load`` keeps the last of two equal keys, so that a camera listed
twice would lose its first entry without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lsm_monitor.errors import ConfigError

Location = tuple[str | int, ...]

_MAX_FILE_BYTES = 16 * 1024 * 1024  # about 50,000 cameras
_MAX_NODES = 1_000_000  # what aliases may unfold to


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where it stands in the file, and a text that says what to do."""

    line: int
    location: Location
    text: str

    def render(self, file_name: str) -> str:
        """Return ``file:line: dotted.key: text``."""
        key = ".".join(map(str, self.location))
        return f"{file_name}:{self.line}: " + (f"{key}: " if key else "") + self.text


@dataclass(slots=True)
class Document:
    """A parsed file.

    Attributes:
        text: The file as it was read.
        data: Plain Python values: dict, list, str, int, float, bool, None, date.
        lines: 1-based line of every key and element.
        problems: What was found wrong so far, by the walk or by whoever reads ``data``.
    """

    text: str
    data: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Return the line of ``location``, or of the nearest thing around it."""
        for end in range(len(location), 0, -1):
            if location[:end] in self.lines:
                return self.lines[location[:end]]
        return 1

    def add(self, location: Location, text: str) -> None:
        """Note that ``location`` is wrong."""
        self.problems.append(Problem(self.line(location), location, text))


def parse(path: Path) -> Document:
    """Read ``path``.

    Raises:
        ConfigError: The file cannot be read or is not YAML. Problems that leave the rest of
            the file readable are in ``problems`` instead.
    """
    document = Document(_read(path))
    root = _compose(path.name, document.text)
    if root is not None:
        document.data = _Walk(path.name, document).walk(root, (), frozenset())
    return document


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as exc:
        msg = f"{path}: cannot read the configuration ({exc.strerror}); is the path right?"
        raise ConfigError(msg) from None
    if len(data) > _MAX_FILE_BYTES:
        msg = f"{path}: larger than {_MAX_FILE_BYTES >> 20} MiB; is it a configuration?"
        raise ConfigError(msg)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        found = f"byte 0x{data[exc.start]:02x}"
        msg = f"{path.name}:{line}: not UTF-8 text ({found}); save the file as UTF-8"
        raise ConfigError(msg) from None


def _compose(file_name: str, text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        msg = f"{file_name}:{line}: not valid YAML: {exc.problem}"
        if any("${" in row for row in text.splitlines()[line - 1 : line]):
            msg += '; inside { } write a reference in quotes: "${env:NAME}"'
    except yaml.YAMLError as exc:
        msg = f"{file_name}:1: not valid YAML: {str(exc).splitlines()[0]}"
    except RecursionError:
        msg = f"{file_name}:1: nested too deeply to be a configuration"
    raise ConfigError(msg)


class _Walk:
    """The recursion over nodes, with what it shares."""

    def __init__(self, file_name: str, document: Document) -> None:
        self._file_name = file_name
        self._document = document
        self._constructor = yaml.SafeLoader("")
        self._budget = _MAX_NODES

    def walk(self, node: yaml.Node, at: Location, parents: frozenset[int]) -> object:
        """Return ``node`` as a plain value; ``parents`` are the ids of the nodes around it."""
        self._budget -= 1
        if id(node) in parents or self._budget < 0:
            line = node.start_mark.line + 1
            msg = f"{self._file_name}:{line}: an alias refers to itself or unfolds without end"
            raise ConfigError(msg)
        self._document.lines.setdefault(at, node.start_mark.line + 1)
        inside = parents | {id(node)}
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at, inside)
        if isinstance(node, yaml.SequenceNode):
            return [self.walk(child, (*at, i), inside) for i, child in enumerate(node.value)]
        return self._scalar(node, at)

    def _mapping(
        self, node: yaml.MappingNode, at: Location, inside: frozenset[int]
    ) -> dict[str, object]:
        document = self._document
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                text = "keys must be plain words; merge keys (<<) are not read: use 'defaults'"
                document.problems.append(Problem(line, at, text))
                continue
            location = (*at, key_node.value)
            if key_node.value in result:
                text = f"is already given in line {document.lines[location]}; remove one"
                document.problems.append(Problem(line, location, text))
                continue
            document.lines[location] = line
            result[key_node.value] = self.walk(value_node, location, inside)
        return result

    def _scalar(self, node: yaml.Node, at: Location) -> object:
        try:
            value: object = self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as exc:
            self._document.add(at, f"cannot be read: {str(exc).splitlines()[0]}")
            return None
        return value
