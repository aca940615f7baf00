"""Command line of the encoder engines."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lsm_engines.registry import BACKENDS, installed_version

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Encoder engines of lsm-monitor."""  # a callback keeps `info` a command, not the root


@app.command()
def info(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the backends: which are installed, and how to install the others."""
    rows = [
        {"backend": name, "version": installed_version(backend), "install": backend.install}
        for name, backend in BACKENDS.items()
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        state = row["version"] or f"not installed; run: {row['install']}"
        print(f"{row['backend']:<12} {state}")


def main() -> None:
    """Run the command line; exits with the status in the documentation."""
    app()
