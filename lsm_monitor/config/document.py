"""A file of the configuration as plain values that remember their lines.

One walk over PyYAML's node tree instead of ``safe_load``, for two reasons: an error needs the
line of its key, and ``safe_load`` keeps the last of two equal keys, so that a camera listed
twice would lose its first entry without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lsm_monitor.config.compose import compose
from lsm_monitor.errors import ConfigError

Location = tuple[str | int, ...]

_MAX_FILE_BYTES = 16 * 1024 * 1024  # about 50,000 cameras
_MAX_UNFOLDED_NODES = 1_000_000  # what aliases may add; the others cost a character each
_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where it stands, and a text that says what to do.

    ``line`` is 1-based; 0 stands for the file as a whole.
    """

    file: str
    line: int
    location: Location
    text: str

    def render(self) -> str:
        """Return ``file:line: dotted.key: text``."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = ".".join(map(str, self.location))
        return f"{place}: " + (f"{key}: " if key else "") + self.text


@dataclass(slots=True)
class Document:
    """A parsed file.

    Attributes:
        name: How messages call the file.
        text: The file as it was read.
        data: Plain Python values: dict, list, str, int, float, bool, None, date. ``None`` when
            nothing could be read.
        lines: 1-based line of every key, and of every element that begins a line.
        problems: What was found wrong so far, by the walk or by whoever reads ``data``.
    """

    name: str
    text: str = ""
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
        self.add_at(self.line(location), location, text)

    def add_at(self, line: int, location: Location, text: str) -> None:
        """Note that something in ``line`` is wrong; 0: the whole file."""
        self.problems.append(Problem(self.name, line, location, text))


class UnreadableError(ConfigError):
    """Nothing of the file can be used; ``line`` is 0 when no line is to blame."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def parse(path: Path, name: str, *, text: str | None = None) -> Document:
    """Read the YAML file ``path``; whatever is wrong with it is in the result's ``problems``.

    Args:
        path: The file.
        name: How messages call it.
        text: Read this, as if it stood in the file.
    """
    document = Document(name)
    try:
        document.text = read_text(path) if text is None else text
        root = _compose(document.text)
        if root is not None:
            document.data = _Walk(document).walk(root, (), frozenset())
    except UnreadableError as exc:
        document.data = None
        document.add_at(exc.line, (), str(exc))
    except RecursionError:
        document.add_at(1, (), "nested too deeply to be a configuration")
    return document


def read_text(path: Path, *, remedy: str = "save the file as UTF-8") -> str:
    """Return the text of ``path``, without a byte order mark.

    Args:
        path: The file.
        remedy: What to do when it is not UTF-8.

    Raises:
        UnreadableError: It is not there, too large, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as exc:
        msg = f"cannot read {path} ({exc.strerror}); is the path right?"
        raise UnreadableError(0, msg) from None
    if len(data) > _MAX_FILE_BYTES:
        msg = f"larger than {_MAX_FILE_BYTES >> 20} MiB; is it a configuration?"
        raise UnreadableError(0, msg)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        found = f"byte 0x{data[exc.start]:02x}"
        msg = f"not UTF-8 text ({found}); {remedy}"
        raise UnreadableError(line, msg) from None


def _compose(text: str) -> yaml.Node | None:
    try:
        return compose(text)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        msg = f"not valid YAML: {exc.problem}"
        if any("${" in row for row in text.splitlines()[line - 1 : line]):
            msg += '; inside { } write a reference in quotes: "${env:NAME}"'
    except yaml.YAMLError as exc:
        line, msg = 1, f"not valid YAML: {str(exc).splitlines()[0]}"
    raise UnreadableError(line, msg)


class _Walk:
    """The recursion over nodes, with what it shares."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._constructor = yaml.SafeLoader("")
        self._budget = _MAX_UNFOLDED_NODES + len(document.text)

    def walk(self, node: yaml.Node, at: Location, parents: frozenset[int]) -> object:
        """Return ``node`` as a plain value; ``parents`` are the ids of the nodes around it."""
        self._budget -= 1
        if id(node) in parents or self._budget < 0:
            msg = "an alias refers to itself or unfolds without end"
            raise UnreadableError(node.start_mark.line + 1, msg)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, at)
        inside = parents | {id(node)}
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, at, inside)
        return self._sequence(node, at, inside)

    def _mapping(
        self, node: yaml.MappingNode, at: Location, inside: frozenset[int]
    ) -> dict[str, object]:
        document = self._document
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.value == "<<":
                text = "keys must be plain words; merge keys (<<) are not read: use 'defaults'"
                document.add_at(line, at, text)
                continue
            location = (*at, key_node.value)
            if key_node.value in result:
                text = f"is already given in line {document.lines[location]}; remove one"
                document.add_at(line, location, text)
                continue
            document.lines[location] = line
            result[key_node.value] = self.walk(value_node, location, inside)
        return result

    def _sequence(self, node: yaml.Node, at: Location, inside: frozenset[int]) -> list[object]:
        lines = self._document.lines
        for index, child in enumerate(node.value):
            if child.start_mark.line != node.start_mark.line:
                lines[*at, index] = child.start_mark.line + 1
        return [self.walk(child, (*at, i), inside) for i, child in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, at: Location) -> object:
        if node.tag == _STRING:
            return node.value
        try:
            value: object = self._constructor.construct_object(node)
        except (AttributeError, IndexError, KeyError):  # PyYAML believes a written tag
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            text = f"is not what {tag} stands for; leave the tag out"
        except (yaml.YAMLError, ValueError) as exc:
            text = f"cannot be read: {str(exc).splitlines()[0]}"
        else:
            return value
        self._document.add_at(node.start_mark.line + 1, at, text)
        return None
