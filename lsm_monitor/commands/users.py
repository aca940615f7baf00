"""``lsm-monitor users``: changes to the users file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

from lsm_monitor.web.models import Role
from lsm_monitor.web.passwords import hashed
from lsm_monitor.web.users import (
    MAX_PASSWORD_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    User,
    is_user_name,
    read_users,
    write_users,
)


def put_user(path: Path, name: str, role: str | None, password: Callable[[], str]) -> None:
    """Add a user, or change one.

    Args:
        path: The users file; made when it is missing.
        name: The user's name.
        role: What they may do; ``None``: as before, and the user must be there.
        password: Called for the password once everything else is known to be right.

    Raises:
        ValueError: The name, the role or the password cannot be taken; says why.
        ConfigError: The file cannot be read or written.
    """
    if not is_user_name(name):
        msg = f"{name!r} cannot be a name; write a-z, 0-9, '.', '_', '@' and '-'"
        raise ValueError(msg)
    if role is not None and role not in get_args(Role):
        msg = f"{role!r} is no role; write one of {', '.join(get_args(Role))}"
        raise ValueError(msg)
    users = dict(read_users(path)) if path.exists() else {}
    if role is None and name not in users:
        raise _unknown(name, path)
    entered = password()
    if not MIN_PASSWORD_CHARACTERS <= len(entered) <= MAX_PASSWORD_CHARACTERS:
        msg = (
            f"the password has {len(entered)} characters; it needs {MIN_PASSWORD_CHARACTERS} "
            f"to {MAX_PASSWORD_CHARACTERS}"
        )
        raise ValueError(msg)
    # Checked above, or the role of somebody who is in the file.
    taken = cast("Role", role) if role is not None else users[name].role
    users[name] = User(role=taken, password=hashed(entered))
    write_users(path, users)


def remove_user(path: Path, name: str) -> None:
    """Take a user out of the file.

    Raises:
        ValueError: There is no such user.
        ConfigError: The file cannot be read or written.
    """
    users = dict(read_users(path))
    if users.pop(name, None) is None:
        raise _unknown(name, path)
    write_users(path, users)


def _unknown(name: str, path: Path) -> ValueError:
    return ValueError(f"{path} has no user {name!r}; see: lsm-monitor users ls --file {path}")
