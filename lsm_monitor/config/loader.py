"""From a YAML file to a checked configuration, or to errors a person can act on.

An error names the file, the line, the key and the way out, and all problems come at once:

    monitor.yaml:7: cameras.bridge.intervals: unknown key; did you mean 'interval_s'?
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lsm_monitor.config import secrets
from lsm_monitor.config.document import Document, Location, parse
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A checked file.

    Attributes:
        path: Where it was read from.
        digest: First hex digits of the file's SHA-256; stands in every event.
        config: What it says.
    """

    path: Path
    digest: str
    config: MonitorConfig


def load(path: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """Read ``path``, resolve its secrets and check everything in it.

    Args:
        path: YAML file.
        environ: The process's environment, for ``${env:..}`` and ``${cred:..}``.

    Raises:
        ConfigError: With one line for each problem; all problems are reported at once.
    """
    document = parse(path)
    data = _Secrets(document, path.parent, environ).resolve(document.data, ())
    if not isinstance(data, dict):
        msg = f"{path.name}:1: the file must be a mapping that starts with 'version: 1'"
        raise ConfigError(msg)
    config = None
    try:
        config = MonitorConfig.model_validate(
            _with_defaults(data), context={"base_dir": path.parent}
        )
    except ValidationError as exc:
        _explain(exc, document)
    if config is None or document.problems:
        problems = sorted(document.problems, key=lambda problem: problem.line)
        raise ConfigError("\n".join(problem.render(path.name) for problem in problems))
    digest = hashlib.sha256(document.text.encode()).hexdigest()[:6]
    return LoadedConfig(path, digest, config)


@dataclass(frozen=True, slots=True)
class _Secrets:
    """Replaces the references in a document; what cannot be resolved becomes a problem."""

    document: Document
    base_dir: Path
    environ: Mapping[str, str]

    def resolve(self, data: object, at: Location) -> object:
        if isinstance(data, dict):
            return {key: self.resolve(value, (*at, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self.resolve(value, (*at, index)) for index, value in enumerate(data)]
        if isinstance(data, str) and secrets.is_reference(data):
            try:
                return secrets.resolve(data, environ=self.environ, base_dir=self.base_dir)
            except ValueError as exc:
                self.document.add(at, str(exc))
        return data


def _with_defaults(data: dict[Any, Any]) -> dict[Any, Any]:
    """Return ``data`` with ``defaults`` merged under each camera, key by key."""
    defaults, cameras = data.get("defaults"), data.get("cameras")
    if not isinstance(defaults, dict) or not isinstance(cameras, dict):
        return data
    merged = {
        name: _merge(defaults, camera) if isinstance(camera, dict) else camera
        for name, camera in cameras.items()
    }
    return {**data, "cameras": merged}


def _merge(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    result = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            result[key] = _merge(under[key], over[key])
    return result


def _explain(exc: ValidationError, document: Document) -> None:
    for error in exc.errors(include_url=False, include_input=False):
        location = tuple(part for part in error["loc"] if part != "[key]")
        in_camera = location[:1] == ("cameras",) and location not in document.lines
        if in_camera and ("defaults", *location[2:]) in document.lines:
            continue  # reported once, where it is written: under 'defaults'
        document.add(location, _text(error))


def _text(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            close = difflib.get_close_matches(str(error["loc"][-1]), _all_keys(), n=1)
            return "unknown key" + (f"; did you mean {close[0]!r}?" if close else "")
        case "missing":
            return "is missing; it has no default"
        case "string_pattern_mismatch":
            return f"must match {context['pattern']}; use lower case, as in 'bridge-2'"
        case "model_type" | "dict_type":
            return "must be a mapping: indent its keys below it"
        case "string_type":
            return "must be text; put quotes around the value"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _all_keys() -> set[str]:
    schema = MonitorConfig.model_json_schema()
    sections = [schema, *schema.get("$defs", {}).values()]
    return {key for section in sections for key in section.get("properties", {})}
