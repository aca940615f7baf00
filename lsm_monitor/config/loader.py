"""From files to a checked configuration, or to errors a person can act on.

An error names the file, the line, the key and the way out, and all problems come at once:

    monitor.yaml:7: cameras.bridge.intervals: unknown key; did you mean 'interval_s'?
"""

from __future__ import annotations

import difflib
import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lsm_monitor.config import inventory, profiles, secrets
from lsm_monitor.config.base import NAME
from lsm_monitor.config.document import Document, Location, parse
from lsm_monitor.config.layers import Layers
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.errors import ConfigError

_MAX_PROBLEMS_SHOWN = 100
_PART_REFERENCE = (
    "a reference is the whole value or none; put the whole text where it points to"
)
_PLAIN_TEXTS = {
    "missing": "is missing; it has no default",
    "model_type": "must be a mapping: indent its keys below it",
    "dict_type": "must be a mapping: indent its keys below it",
    "string_type": "must be text; put quotes around the value",
    "tuple_type": "must be a list, as in [a, b]",
}


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked configuration.

    Attributes:
        path: Main file.
        digest: First hex digits of the SHA-256 over all files; stands in every event.
        config: What they say.
        files: Every file that was read, and the folders of the inventory: what to watch for
            changes.
        places: Where each camera stands, as ``file:line``.
    """

    path: Path
    digest: str
    config: MonitorConfig
    files: tuple[Path, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    def file_of(self, camera_id: str) -> Path:
        """Return the file in which a camera stands."""
        return self.path.parent / self.name_of(camera_id)

    def name_of(self, camera_id: str) -> str:
        """Return how messages call the file in which a camera stands."""
        return self.places[camera_id].rpartition(":")[0]


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    needs_secrets: bool = True,
    needs_credentials: bool = True,
    texts: Mapping[Path, str] = MappingProxyType({}),
) -> LoadedConfig:
    """Read ``path`` and its inventory, resolve their secrets and check everything.

    Args:
        path: YAML file.
        environ: The process's environment, for ``${env:..}`` and ``${cred:..}``.
        needs_secrets: Whether a secret that is not there is a problem. A command that opens
            nothing runs where the service's credentials are not; the reference then stands
            in place of its value.
        needs_credentials: Whether ``${cred:..}`` is one outside a service, where there is no
            folder of credentials.
        texts: Check these, as if they stood in the YAML files whose resolved paths they have.

    Raises:
        ConfigError: With one line for each problem; all problems are reported at once.
    """
    main = parse(path, path.name, text=texts.get(path.resolve()))
    others, watched = inventory.read(main, path.parent, texts)
    documents = [main, *others]
    spared = not needs_credentials and "CREDENTIALS_DIRECTORY" not in environ
    resolver = _Secrets(
        path.parent, environ, needed=needs_secrets, spared="${cred:" if spared else None
    )
    for document in documents:
        document.data = resolver.resolve(document, document.data, ())
    if not isinstance(main.data, dict):
        if not main.problems:
            main.add((), "the file must be a mapping that starts with 'version: 1'")
        raise _error(documents)
    gathered = inventory.gather(documents)
    config = _check(main.data, gathered, documents, path.parent)
    if config is None or any(document.problems for document in documents):
        raise _error(documents)
    places = {
        name: f"{home.name}:{home.line(('cameras', name))}"
        for name, home in gathered.homes.items()
    }
    return LoadedConfig(path, _digest(documents), config, (path, *watched), places)


def _check(
    data: dict[str, Any],
    gathered: inventory.Gathered,
    documents: list[Document],
    base_dir: Path,
) -> MonitorConfig | None:
    """Return the configuration, or ``None`` after noting in ``documents`` what is wrong."""
    if gathered.cameras:
        data = {**data, "cameras": gathered.cameras}
    elif data.get("inventory") and any(document.problems for document in documents):
        return None  # the cameras stand where something cannot be read: no need to miss them
    layers = Layers.of(data)
    merged = {key: value for key, value in layers.merged().items() if value}
    try:
        config = MonitorConfig.model_validate(
            {**data, **merged}, context={"base_dir": base_dir, "groups": list(layers.groups)}
        )
    except ValidationError as exc:
        _explain(exc, layers, documents[0], gathered.homes)
        return None
    _check_profiles(config, documents[0])
    return config


def _check_profiles(config: MonitorConfig, main: Document) -> None:
    """Note in ``main`` what profiles have wrong, and what does not fit a camera."""
    for location in profiles.strange_keys(config):
        main.add(location, "does not belong into a profile")
    for location, camera_id, error in profiles.misfits(config):
        text = text_of(error)
        is_of_both = not error["loc"]  # two keys contradict each other
        main.add(location, f"camera {camera_id!r}: {text}" if is_of_both else text)


def _error(documents: Iterable[Document]) -> ConfigError:
    lines = [
        problem.render()
        for document in documents
        for problem in sorted(document.problems, key=lambda problem: problem.line)
    ]
    if len(lines) > _MAX_PROBLEMS_SHOWN:
        hidden = len(lines) - _MAX_PROBLEMS_SHOWN
        lines = [*lines[:_MAX_PROBLEMS_SHOWN], f"... and {hidden} problems more"]
    return ConfigError("\n".join(lines))


def _digest(documents: list[Document]) -> str:
    main, *others = documents
    digest = hashlib.sha256(main.text.encode())
    for other in others:
        digest.update(f"\0{other.name}\0{other.text}".encode())
    return digest.hexdigest()[:6]


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Replaces references by what they name, each read once; the others become problems."""

    base_dir: Path
    environ: Mapping[str, str]
    needed: bool
    spared: str | None
    known: dict[str, str] = field(default_factory=dict, repr=False)

    def resolve(self, document: Document, data: object, at: Location) -> object:
        if isinstance(data, dict):
            return {k: self.resolve(document, value, (*at, k)) for k, value in data.items()}
        if isinstance(data, list):
            return [self.resolve(document, value, (*at, i)) for i, value in enumerate(data)]
        if isinstance(data, str) and secrets.is_reference(data):
            try:
                return self._value(data)
            except ValueError as exc:
                if self.needed and not (self.spared and data.startswith(self.spared)):
                    document.add(at, str(exc))
        elif isinstance(data, str) and secrets.holds_reference(data):
            document.add(at, _PART_REFERENCE)
        return data

    def _value(self, reference: str) -> str:
        if reference not in self.known:
            self.known[reference] = secrets.resolve(
                reference, environ=self.environ, base_dir=self.base_dir
            )
        return self.known[reference]


def _explain(
    exc: ValidationError, layers: Layers, main: Document, homes: Mapping[str, Document]
) -> None:
    """Note every error in the document, and at the layer, where its value stands."""
    told: set[tuple[Location, str]] = set()
    documents = {id(document): document for document in (main, *homes.values())}
    unreadable = {
        (document.name, problem.location)
        for document in documents.values()
        for problem in document.problems
    }
    for error in exc.errors(include_url=False, include_input=False):
        location = tuple(part for part in error["loc"] if part != "[key]")
        text = text_of(error)
        origin = layers.origin(location)
        # Layers come in their order: what a group has wrong, its cameras only repeat.
        if not told.isdisjoint((place, text) for place in layers.inherited_from(location)):
            continue
        if (origin, text) in told:
            continue
        told.add((origin, text))
        in_camera = len(origin) > 1 and origin[0] == "cameras"
        home = homes.get(str(origin[1]), main) if in_camera else main
        if (home.name, origin) not in unreadable:
            home.add(origin, text)


def text_of(error: ErrorDetails) -> str:
    """Return what pydantic found, in words that say what to type."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(error["loc"][-1]))
    if kind == "string_pattern_mismatch":
        hint = "; use lower case, as in 'bridge-2'" if context["pattern"] == NAME else ""
        return f"must match {context['pattern']}{hint}"
    return _PLAIN_TEXTS.get(kind, error["msg"].removeprefix("Value error, "))


def _unknown_key(key: str) -> str:
    if key in _all_keys():
        return "does not belong here"
    close = difflib.get_close_matches(key, _all_keys(), n=1)
    return "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")


@functools.cache
def _all_keys() -> frozenset[str]:
    schema = MonitorConfig.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    return frozenset(key for section in sections for key in section.get("properties", {}))
