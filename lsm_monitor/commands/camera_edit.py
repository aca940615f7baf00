"""``lsm-monitor cameras add`` and ``rm``: change the file, after its result was checked."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lsm_monitor.capture.redact import Redactor
from lsm_monitor.config import edit
from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.secrets import is_reference, resolve, revealed
from lsm_monitor.errors import ConfigError

_SECRETS_FOLDER = "passwords"
"""Not ``credentials``: beside an installed file that is root's, and closed to the service."""


def add_camera(
    path: Path,
    environ: Mapping[str, str],
    camera_id: str,
    settings: Mapping[str, Any],
    *,
    password: SecretStr | None = None,
    dry_run: bool = False,
) -> str:
    """Add a camera to ``path`` and return the difference, free of credentials.

    Args:
        path: Main file.
        environ: The process's environment.
        camera_id: Its id.
        settings: Its keys, as they shall stand in the file.
        password: Kept in a file of its own beside ``path``, and referred to.
        dry_run: Change nothing.

    Raises:
        ConfigError: The result would not be a valid configuration, or a file cannot be
            written; nothing was changed.
    """
    if password is not None:
        settings = {**settings, "password": f"${{file:{_SECRETS_FOLDER}/{camera_id}}}"}
    before, after = edit.with_camera(path, camera_id, settings)
    result = load(path, environ, needs_secrets=False, texts={path.resolve(): after})
    difference = _difference(path, before, after, result)
    if dry_run:
        return difference
    if password is None:
        edit.replace_text(path, before, after)
        return difference
    secret_path = path.parent / _SECRETS_FOLDER / camera_id
    _write_secret(secret_path, password, like=path)
    try:
        edit.replace_text(path, before, after)
    except ConfigError:
        secret_path.unlink()
        raise
    return difference


def remove_camera(
    path: Path, environ: Mapping[str, str], camera_id: str, *, dry_run: bool = False
) -> str:
    """Take a camera out of ``path`` and return the difference, free of credentials.

    Raises:
        ConfigError: It does not stand in this file, the rest would not be a valid
            configuration, or the file cannot be written; nothing was changed.
    """
    loaded = load(path, environ, needs_secrets=False)
    place = loaded.places.get(camera_id)
    if place is not None and not place.startswith(f"{path.name}:"):
        msg = f"{place}: camera {camera_id!r} stands in the inventory; remove it there"
        raise ConfigError(msg)
    if list(loaded.places) == [camera_id]:
        msg = f"{place}: {camera_id!r} is the only camera, and one there must be; add another"
        raise ConfigError(msg)
    before, after = edit.without_camera(path, camera_id)
    load(path, environ, needs_secrets=False, texts={path.resolve(): after})
    difference = _difference(path, before, after, loaded)
    if not dry_run:
        edit.replace_text(path, before, after)
    return difference


def file_reference(path: Path, environ: Mapping[str, str]) -> str:
    """Return what stands in a configuration for the secret in the file ``path``.

    Raises:
        ValueError: It cannot be read, or cannot be a secret.
    """
    reference = f"${{file:{path.absolute()}}}"
    resolve(reference, environ=environ, base_dir=Path())
    return reference


def _difference(path: Path, before: str, after: str, larger: LoadedConfig) -> str:
    """Return what changes; ``larger`` is the text with the camera, and knows every secret."""
    # A reference whose secret is not here hides nothing.
    secrets = {each for each in revealed(larger.config) if not is_reference(each)}
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), path.name, path.name, n=2, lineterm=""
    )
    return Redactor(secrets).redact("\n".join(lines))


def _write_secret(path: Path, password: SecretStr, *, like: Path) -> None:
    """Write a new file that whoever may read ``like`` by owner or group may read."""
    status = like.stat()
    is_root = os.geteuid() == 0  # a service that runs as another user must still read it
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            path.parent.chmod(0o750)  # whatever the umask is: root's may shut the service out
            if is_root:
                os.chown(path.parent, status.st_uid, status.st_gid)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(password.get_secret_value().encode())
            if is_root:
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o640)
    except FileExistsError:
        msg = f"{path}: is already there; remove it, or name it by --password-file"
        raise ConfigError(msg) from None
    except OSError as exc:
        msg = f"{path}: cannot be written ({exc.strerror}); nothing was changed"
        raise ConfigError(msg) from None
