"""``lsm-monitor service ...`` and ``lsm-monitor status``: the daemon as its machine sees it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.cli_shared import JsonOption, read_password

service_app = typer.Typer(no_args_is_help=True, help="The daemon as a systemd service.")


def status(
    *,
    host: Annotated[
        str, typer.Option(help="As 'http.host' in the daemon's file.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="As 'http.port'.")] = 9109,
    certificate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="As 'http.tls_cert_file', if it is set."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With 'http.metrics_token'; - reads stdin."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the running daemon how it and its cameras are."""
    from lsm_monitor.commands.status import (  # noqa: PLC0415
        as_json_line,
        describe,
        fetch_status,
    )

    token = None if token_file is None else read_password(token_file)
    stats, body = fetch_status(host, port, certificate=certificate, token=token)
    if as_json:
        typer.echo(as_json_line(body))
        return
    for line in describe(stats, datetime.now(UTC)):
        typer.echo(line)


@service_app.command("install")
def service_install(
    *,
    config: Annotated[
        Path, typer.Option(metavar="FILE", help="The YAML file that the service runs on.")
    ] = Path("/etc/lsm-monitor/monitor.yaml"),
    gpu: Annotated[
        bool, typer.Option("--gpu", help="The unit for a machine with a GPU.")
    ] = False,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print the files; write nothing.")
    ] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Write below this folder, as for an image.")
    ] = Path("/"),
) -> None:
    """Write the systemd files, with the paths of this installation."""
    from lsm_monitor.commands.service import (  # noqa: PLC0415
        install,
        next_steps,
        python_warning,
        service_files,
        this_program_folder,
    )

    programs = this_program_folder()
    warning = python_warning(Path(sys.base_prefix))
    if warning is not None:
        typer.echo(warning, err=True)
    try:
        files = service_files(gpu=gpu, programs=programs, config=config)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    if only_print:
        for file in files:
            typer.echo(f"# /{file.path}\n{file.text}")
        return
    for path in install(files, root):
        typer.echo(str(path))
    typer.echo(next_steps(gpu=gpu, programs=programs, config=config, root=root), err=True)
