"""``lsm-monitor users``: who may use the page. The running daemon takes changes over by itself.

A password is asked for, or read from stdin or a file: never from the command line, where
every user of the machine can read it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.cli_shared import JsonOption, PasswordFileOption, read_password
from lsm_monitor.config.loader import load
from lsm_monitor.errors import ConfigError

users_app = typer.Typer(no_args_is_help=True, help="Who may use the page, and as what.")

OptionalConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The daemon's YAML file: its 'users_file'."),
]
FileOption = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="The users file itself.")
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="Lower case: a-z 0-9 . _ @ -")
]
RoleOption = Annotated[
    str, typer.Option(help="viewer looks, operator acknowledges, admin draws zones.")
]


@users_app.command("add")
def add(
    *,
    name: NameArgument,
    role: RoleOption,
    config: OptionalConfig = None,
    file: FileOption = None,
    password_file: PasswordFileOption = None,
) -> None:
    """Add a user, or give one another role and password; asks for the password."""
    from lsm_monitor.commands.users import put_user  # noqa: PLC0415 - argon2 when needed

    path = _users_file(config, file)
    with _usage_errors():
        put_user(path, name, role, lambda: _password(name, password_file))
    typer.echo(f"{path}: {name} is {role}")


@users_app.command("passwd")
def passwd(
    *,
    name: NameArgument,
    config: OptionalConfig = None,
    file: FileOption = None,
    password_file: PasswordFileOption = None,
) -> None:
    """Give a user another password; whoever is logged in with the old one is logged out."""
    from lsm_monitor.commands.users import put_user  # noqa: PLC0415

    path = _users_file(config, file)
    with _usage_errors():
        put_user(path, name, None, lambda: _password(name, password_file))
    typer.echo(f"{path}: {name} has another password")


@users_app.command("rm")
def rm(*, name: NameArgument, config: OptionalConfig = None, file: FileOption = None) -> None:
    """Take a user away, and end what they are logged in to."""
    from lsm_monitor.commands.users import remove_user  # noqa: PLC0415

    path = _users_file(config, file)
    with _usage_errors():
        remove_user(path, name)
    typer.echo(f"{path}: {name} is gone")


@users_app.command("ls")
def ls(
    config: OptionalConfig = None, file: FileOption = None, *, as_json: JsonOption = False
) -> None:
    """List the users and their roles."""
    from lsm_monitor.web.users import read_users  # noqa: PLC0415

    for name, user in read_users(_users_file(config, file)).items():
        row = {"user": name, "role": user.role}
        typer.echo(json.dumps(row) if as_json else f"{name}\t{user.role}")


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn a name, role or password that will not do into a usage error."""
    try:
        yield
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None


def _users_file(config: Path | None, file: Path | None) -> Path:
    """Return the file that is meant.

    Raises:
        ConfigError: The configuration names none.
    """
    if (config is None) is (file is None):
        msg = "give --config or --file"
        raise typer.BadParameter(msg)
    if file is not None:
        return file
    assert config is not None  # noqa: S101 - one of the two
    named = load(config, os.environ, needs_secrets=False).config.http.users_file
    if named is None:
        msg = f"{config}: names no users file; write below 'http':  users_file: users.yaml"
        raise ConfigError(msg)
    return named


def _password(name: str, password_file: Path | None) -> str:
    if password_file is not None:
        return read_password(password_file).get_secret_value()
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    entered: str = typer.prompt(
        f"Password of {name}", hide_input=True, confirmation_prompt=True, err=True
    )
    return entered
