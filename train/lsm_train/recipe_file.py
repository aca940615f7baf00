"""Reading a recipe: layers of YAML files, and errors that name file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from lsm_train.config import Recipe, Section
from lsm_train.errors import RecipeError

Location = tuple[str | int, ...]
_Recipe = TypeVar("_Recipe", bound=Section)


def load_recipe(path: Path) -> Recipe:
    """Read the recipe of a training run, as :func:`read_recipe`."""
    return read_recipe(path, Recipe)


def read_recipe(path: Path, form: type[_Recipe]) -> _Recipe:
    """Read a recipe.

    A recipe may name another as its ``base``, by a path relative to itself, and then holds
    only what differs: sections are merged key by key; lists, single values and sections of
    another ``kind`` are replaced.

    Raises:
        RecipeError: With one line for each problem.
    """
    layers = _read_layers(path)
    content: object = {}
    for layer in reversed(layers):
        content = _merge(content, layer.content)
    try:
        return form.model_validate(content)
    except ValidationError as exc:
        problems = []
        for error in exc.errors():
            location = error["loc"]
            text = error["msg"].removeprefix("Value error, ")
            if error["type"] == "extra_forbidden":
                text = "unknown key"
            problems.append(
                f"{_place(layers, location)}: {'.'.join(map(str, location))}: {text}"
            )
        raise RecipeError("\n".join(problems)) from None


@dataclass(frozen=True, slots=True)
class _Layer:
    """One file: its content without ``base``, and the line of every key."""

    path: Path
    content: object
    lines: dict[Location, int]


def _read_layers(path: Path) -> list[_Layer]:
    """Return the file, its base, the base's base, and so on."""
    layers: list[_Layer] = []
    next_path: Path | None = path
    while next_path is not None:
        if any(layer.path == next_path for layer in layers):
            msg = f"{path}: 'base' leads back to {next_path}"
            raise RecipeError(msg)
        layer, next_path = _read_layer(next_path)
        layers.append(layer)
    return layers


def _read_layer(path: Path) -> tuple[_Layer, Path | None]:
    """Return a file and the path of its base."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as exc:  # ValueError: no UTF-8, 30 February
        msg = f"{path}: cannot be read ({exc})"
        raise RecipeError(msg) from exc
    if root is not None and (twice := list(_repeated(root))):
        raise RecipeError("\n".join(f"{path}:{problem}" for problem in twice))
    base = None
    if isinstance(content, dict) and "base" in content:
        base = path.parent / str(content.pop("base"))
    return _Layer(path, content, dict(_lines(root)) if root is not None else {}), base


def _merge(below: object, above: object) -> object:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if "kind" in below and above.get("kind", below["kind"]) != below["kind"]:
        return above  # the keys of the one kind are not the other's
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        merged[key] = _merge(below[key], above[key])
    return merged


def _place(layers: list[_Layer], location: Location) -> str:
    """Return file and line of a key; of the section it is missing in, when it is nowhere."""
    for wanted in (location, location[:-1]):
        for layer in layers:
            if wanted and wanted in layer.lines:
                return f"{layer.path}:{layer.lines[wanted]}"
    return f"{layers[0].path}:1"


def _repeated(node: yaml.Node) -> Iterator[str]:
    """Yield the line and name of every key that a section has before: YAML takes the last."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield f"{key.start_mark.line + 1}: {key.value}: is there twice"
            seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value)


def _lines(node: yaml.Node, at: Location = ()) -> Iterator[tuple[Location, int]]:
    """Yield the 1-based line of every key and item below ``node``."""
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*at, key.value))
            yield (*at, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index))
