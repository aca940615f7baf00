"""The users file: who may use the page, as which role, with which password.

Passwords stand in it as Argon2id hashes. ``lsm-monitor users`` writes the file, the daemon
only reads it: a change counts from the next request on. A file that has become unreadable or
wrong changes nothing and is told in the log; at the start it is an error.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError

from lsm_monitor.config.base import Section
from lsm_monitor.errors import ConfigError
from lsm_monitor.web.models import Role

logger = logging.getLogger(__name__)

USER_NAME = r"^[a-z0-9][a-z0-9._@-]{0,63}$"
MIN_PASSWORD_CHARACTERS = 10
MAX_PASSWORD_CHARACTERS = 1024
_MAX_FILE_BYTES = 1024 * 1024
_NOT_FOR_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_NEW_MODE = 0o640


class User(Section):
    """One entry of the file."""

    role: Role
    password: Annotated[str, Field(pattern=r"^\$argon2id\$[!-~]{20,400}$", repr=False)]


class _Content(Section):
    users: dict[Annotated[str, Field(pattern=USER_NAME)], User] = Field(max_length=1000)


class Users:
    """The users of one file, read again when it has changed. For one thread.

    Args:
        path: The file.

    Raises:
        ConfigError: It cannot be used; the text says what to type.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _stamp(path)
        self._users = read_users(path)

    def get(self, name: str) -> User | None:
        """Return a user's entry; ``None``: there is no such user."""
        return self._users.get(name)

    def refresh(self) -> None:
        """Read the file again if it has changed; waits for the disk."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._users = read_users(self._path)
        except ConfigError as exc:
            logger.error("the users are as before: %s", exc)  # noqa: TRY400 - not our fault
        else:
            logger.info("users: %d in %s", len(self._users), self._path)


def read_users(path: Path) -> Mapping[str, User]:
    """Return the users of a file.

    Raises:
        ConfigError: It cannot be read, is open to others, or is wrong.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as exc:
        msg = (
            f"users file {path}: cannot be read ({exc.strerror}); make it with: lsm-monitor "
            f"users add NAME --role admin --file {path}"
        )
        raise ConfigError(msg) from None
    if mode & _NOT_FOR_OTHERS:
        msg = (
            f"users file {path}: its mode is {stat.S_IMODE(mode):04o}, so that others may use "
            f"it; type: chmod 640 {path}"
        )
        raise ConfigError(msg)
    if len(data) > _MAX_FILE_BYTES:
        msg = f"users file {path}: is larger than {_MAX_FILE_BYTES} bytes; is it the right one?"
        raise ConfigError(msg)
    return _parsed(data, path).users


def write_users(path: Path, users: Mapping[str, User]) -> None:
    """Replace the file, at once; an owner and a mode that it has are kept, and a link to it.

    A new file belongs to the group of its folder, so that the service can read it.

    Raises:
        ConfigError: It cannot be written.
    """
    content = {"users": {name: user.model_dump() for name, user in sorted(users.items())}}
    text = "# Written by 'lsm-monitor users'; the daemon reads it again when it changes.\n"
    text += yaml.safe_dump(content, sort_keys=False)
    path = path.resolve()  # the file behind a link, not the link
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            _belong(descriptor, path)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except OSError as exc:
        msg = (
            f"users file {path}: cannot be written ({exc.strerror}); as which user do you run?"
        )
        raise ConfigError(msg) from None
    finally:
        draft.unlink(missing_ok=True)


def is_user_name(name: str) -> bool:
    """Return whether somebody may be called so."""
    return re.fullmatch(USER_NAME, name) is not None


def _belong(descriptor: int, path: Path) -> None:
    """Give a file that is being written the owner and mode of the one it replaces."""
    if path.exists():
        before = path.stat()
        owner, group, mode = before.st_uid, before.st_gid, stat.S_IMODE(before.st_mode)
    else:
        owner, group, mode = -1, path.parent.stat().st_gid, _NEW_MODE
    if os.geteuid() == 0:
        os.fchown(descriptor, owner, group)
    os.fchmod(descriptor, mode & ~_NOT_FOR_OTHERS)


def _parsed(data: bytes, path: Path) -> _Content:
    try:
        content = yaml.safe_load(data) or {"users": {}}
    except (yaml.YAMLError, ValueError, RecursionError):
        msg = f"users file {path}: is neither YAML nor JSON; write it with lsm-monitor users"
        raise ConfigError(msg) from None
    try:
        return _Content.model_validate(content)
    except ValidationError as exc:
        # Without the values: among them are hashes.
        problems = [
            f"users file {path}: {'.'.join(map(str, error['loc']))}: {error['msg']}"
            for error in exc.errors(include_url=False, include_input=False)[:20]
        ]
        raise ConfigError("\n".join(problems)) from None


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The inode's own time, too: a mode or an owner put right changes nothing else. And the
    # mode, for the file system's clock may tick too slowly for two changes.
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode
