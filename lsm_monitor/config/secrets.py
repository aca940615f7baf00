"""Secrets stand outside the YAML file: ``${env:NAME}``, ``${file:path}``, ``${cred:name}``.

``cred`` reads systemd's credential folder (``LoadCredential=``), the best of the three: such
a file is readable by the service alone and lives in memory. A reference is the whole value;
inside a longer text it is an error, and never half of a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, SecretStr

_REFERENCE = re.compile(r"\$\{(?P<kind>[a-z]+):(?P<name>[^{}]+)\}")
_HELD = re.compile(r"\$\{(?:env|file|cred):[^{}]+\}")
_MAX_SECRET_BYTES = 64 * 1024


def is_reference(value: str) -> bool:
    """Return whether ``value`` is written as a reference, valid or not."""
    return value.startswith("${") and value.endswith("}")


def holds_reference(value: str) -> bool:
    """Return whether a reference stands inside a longer text, where nobody expands it."""
    return _HELD.search(value) is not None and not is_reference(value)


def resolve(reference: str, *, environ: Mapping[str, str], base_dir: Path) -> str:
    """Return the value that ``reference`` names.

    Args:
        reference: Such as ``${env:CAMERA_PASSWORD}``.
        environ: The process's environment.
        base_dir: Folder of the configuration file; relative paths start there.

    Raises:
        ValueError: The reference is malformed or names nothing; says what to type or set.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or match["kind"] not in {"env", "file", "cred"}:
        msg = "is not a reference; write ${env:NAME}, ${file:/path} or ${cred:name}"
        raise ValueError(msg)
    name = match["name"]
    if match["kind"] == "env":
        if name not in environ:
            msg = f"environment variable {name} is not set"
            raise ValueError(msg)
        return environ[name]
    if match["kind"] == "file":
        return read_file(base_dir / name)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        msg = (
            f"credential {name!r} is not there: $CREDENTIALS_DIRECTORY is not set; add "
            f"LoadCredential={name}:/etc/lsm-monitor/credentials/{name} to the unit"
        )
        raise ValueError(msg)
    if Path(name).name != name or name in {".", ".."}:
        msg = f"credential name {name!r} must not contain a path"
        raise ValueError(msg)
    return read_file(Path(folder) / name)


def revealed(model: BaseModel) -> Iterator[str]:
    """Yield the text of every secret in ``model``, for the log filter to know."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        children = value.values() if isinstance(value, dict) else [value]
        for child in children:
            if isinstance(child, SecretStr):
                yield child.get_secret_value()
            elif isinstance(child, BaseModel):
                yield from revealed(child)


def read_file(path: Path) -> str:
    """Return the secret in the file ``path``.

    Raises:
        ValueError: It cannot be read, or cannot be a secret.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as exc:
        msg = f"cannot read {path} ({exc.strerror})"
        raise ValueError(msg) from None
    if len(data) > _MAX_SECRET_BYTES:
        msg = f"{path} is larger than {_MAX_SECRET_BYTES // 1024} KiB; is it the right file?"
        raise ValueError(msg)
    try:
        # One trailing line break is the editor's, not the password's.
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        msg = f"{path} is not UTF-8 text"
        raise ValueError(msg) from None
