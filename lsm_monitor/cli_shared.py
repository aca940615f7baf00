"""What the files of the command line share: exit codes, options, the configuration."""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import SecretStr

from lsm_monitor.config.loader import LoadedConfig, load
from lsm_monitor.config.secrets import read_file, revealed
from lsm_monitor.runtime import state_dir

EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_SOFTWARE, EXIT_CONFIG = 2, 69, 70, 78

ConfigOption = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="YAML file; see config/.")
]
StateOfOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The daemon's YAML file, for its folder."),
]
StateDirOption = Annotated[
    Path | None, typer.Option("--state-dir", metavar="DIR", help="The folder itself.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")]

# Not `exists=True`: typer 0.29 then asks for a file called "-", whatever `allow_dash` says.
PasswordFileOption = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Password; - reads stdin, or asks.")
]
STDIN = Path("-")


_UNIT_OF_AGO = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """Return the time that an operator means: "24h" (ago), or a date, with or without time.

    Raises:
        typer.BadParameter: It is neither.
    """
    try:
        if ago := re.fullmatch(r"(\d+)([mhd])", text):
            return datetime.now(UTC) - timedelta(**{_UNIT_OF_AGO[ago[2]]: int(ago[1])})
        # Without an offset it is this machine's time.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        msg = f"{text!r} is not a time; write 24h, 7d, 2026-07-18 or 2026-07-18T06:00+08:00"
        raise typer.BadParameter(msg) from None


def state_folder(config: Path | None, folder: Path | None) -> Path:
    """Return the state folder: the one given, or else the configuration's.

    Raises:
        ConfigError: The configuration cannot be read.
    """
    if config and not folder:
        folder = load(config, os.environ, needs_secrets=False).config.state_dir
        if "${" in str(folder):  # a reference that names nothing; this says which
            folder = load(config, os.environ).config.state_dir
    return state_dir.resolve(folder, os.environ)


def read_password(path: Path) -> SecretStr:
    """Return the password in ``path``, or on stdin for ``-``; a terminal is asked for it.

    Raises:
        typer.BadParameter: It cannot be read, or cannot be a password.
    """
    if path == STDIN and sys.stdin.isatty():
        return SecretStr(typer.prompt("Password", hide_input=True, err=True))
    try:
        return SecretStr(read_file(Path("/dev/stdin") if path == STDIN else path))
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None


def load_config(
    path: Path,
    *,
    log: bool = False,
    needs_secrets: bool = True,
    needs_credentials: bool = True,
) -> LoadedConfig:
    """Read the configuration and let the log filter know its secrets.

    Args:
        path: YAML file.
        log: Log as the configuration says, and not only warnings.
        needs_secrets: See :func:`lsm_monitor.config.loader.load`.
        needs_credentials: The same.

    Raises:
        ConfigError: See :func:`lsm_monitor.config.loader.load`.
    """
    loaded = load(
        path, os.environ, needs_secrets=needs_secrets, needs_credentials=needs_credentials
    )
    logging_config = loaded.config.logging
    configure_logs(
        level=logging_config.level if log else "warning",
        fmt=logging_config.format,
        secrets=list(set(revealed(loaded.config))),  # thousands of cameras share one
    )
    return loaded


def configure_logs(*, level: str, fmt: Literal["logfmt", "json"], secrets: list[str]) -> None:
    """Send logs to stderr, cleaned of ``secrets`` and of credentials in addresses."""
    from lsm_monitor.capture.redact import Redactor  # noqa: PLC0415 - it loads slow libraries
    from lsm_monitor.runtime.logs import configure  # noqa: PLC0415

    configure(level=level, fmt=fmt, redact=Redactor(secrets).redact)
