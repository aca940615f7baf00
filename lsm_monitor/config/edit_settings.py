"""Sets a few keys of a YAML file, wherever they stand or belong, and touches nothing else.

What was changed is read back; a result that says anything but the intended is refused, and
then the text has the lines to put in by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lsm_monitor.config.compose import compose
from lsm_monitor.config.document import parse
from lsm_monitor.config.edit_nodes import OverlapError, applied, mapping_edits
from lsm_monitor.config.edit_text import INDENT, block, newline
from lsm_monitor.errors import ConfigError


def with_settings(
    path: Path, section: tuple[str, ...], values: Mapping[str, object]
) -> tuple[str, str]:
    """Return the text of ``path`` before and after ``values`` are set in ``section``.

    Args:
        path: The file.
        section: Where they belong, such as ``("cameras", "bridge")``; made when it is missing.
        values: By key, with dots for keys of keys: ``levels.ponding.enter``.

    Raises:
        ConfigError: The file cannot be read, or must be edited by hand.
    """
    document = parse(path, path.name)
    if document.problems or not isinstance(document.data, dict):
        problems = [problem.render() for problem in document.problems]
        raise ConfigError("\n".join(problems) or f"{path.name}: is not a mapping")
    wanted: dict[str, Any] = document.data
    for key, value in values.items():
        wanted = _set(wanted, (*section, *key.split(".")), value)
    after = _rewritten(path, document.text, document.data, wanted)
    if after is None:
        entries: dict[str, Any] = {}
        for key, value in values.items():
            entries = _set(entries, (*section, *key.split(".")), value)
        msg = (
            f"{path.name}: cannot be edited safely; put this in by hand:\n"
            f"{block(entries, INDENT, '')}"
        )
        raise ConfigError(msg)
    return document.text, after


def _set(data: Mapping[str, Any], location: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return ``data`` with one value set; what it is made of stays as it is."""
    key, *rest = location
    if not rest:
        return {**data, key: value}
    under = data.get(key)
    return {**data, key: _set(under if isinstance(under, dict) else {}, tuple(rest), value)}


def _rewritten(
    path: Path, before: str, old: Mapping[str, Any], wanted: Mapping[str, Any]
) -> str | None:
    """Return the text that says ``wanted``; ``None`` if that did not work."""
    added = "" if before.endswith("\n") else newline(before)
    text = before + added
    root = compose(text)
    assert isinstance(root, yaml.MappingNode)  # noqa: S101 - the document is a mapping
    try:
        after = applied(mapping_edits(text, root, old, wanted), text).removesuffix(added)
    except OverlapError:
        return None
    found = parse(path, path.name, text=after)
    return after if not found.problems and found.data == wanted else None
