"""``lsm-monitor cameras``: the cameras of a configuration, listed, opened and edited."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lsm_monitor.cli_shared import (
    EXIT_UNAVAILABLE,
    STDIN,
    ConfigOption,
    JsonOption,
    load_config,
    read_password,
)
from lsm_monitor.config.loader import LoadedConfig
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.config.secrets import is_reference, resolve
from lsm_monitor.config.watching import Mode
from lsm_monitor.errors import ConfigError

cameras_app = typer.Typer(no_args_is_help=True, help="The cameras of a configuration.")

ParallelOption = Annotated[int, typer.Option(min=1, max=256, help="Cameras open at once.")]
WatchOption = Annotated[
    float, typer.Option("--seconds", min=1, max=600, help="How long each one is watched.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show it, and change nothing.")]
PARALLEL, WATCH_S = 16, 8.0


@cameras_app.command("ls")
def ls(*, config: ConfigOption, as_json: JsonOption = False) -> None:
    """List the cameras as they are after groups and inventory."""
    from lsm_monitor.commands.camera_list import COLUMNS, camera_rows  # noqa: PLC0415
    from lsm_monitor.commands.tables import print_table  # noqa: PLC0415

    rows = camera_rows(load_config(config, needs_secrets=False))
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row.as_json_object()))
    else:
        print_table(COLUMNS, (row.cells() for row in rows))


@cameras_app.command("add")
def add(
    *,
    camera: Annotated[str, typer.Argument(metavar="ID", help="Lower case, as in 'bridge-2'.")],
    url: Annotated[str, typer.Argument(help="Address, video file or picture folder.")],
    config: ConfigOption,
    username: Annotated[str | None, typer.Option(help="User at the camera.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            help="Referred to as ${file:..}; - reads stdin into a new file beside FILE.",
        ),
    ] = None,
    group: Annotated[str | None, typer.Option(help="Group it belongs to.")] = None,
    mode: Annotated[Mode | None, typer.Option()] = None,
    interval: Annotated[str | None, typer.Option(help="Such as 30 or 5m.")] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=X,Y X,Y X,Y..", help="Corners from 0 to 1; repeatable."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Add a camera to the file; what is wrong with the result is told, and nothing changed."""
    from lsm_monitor.commands.camera_edit import add_camera, file_reference  # noqa: PLC0415

    from_stdin = password_file == STDIN
    try:
        zones = _zones(zone or [])
        reference = (
            None
            if password_file is None or from_stdin
            else file_reference(password_file, os.environ)
        )
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    settings: dict[str, Any] = {
        "url": url,
        "username": username,
        "password": reference,
        "group": group,
        "mode": mode,
        "interval_s": interval if interval is None or not interval.isdigit() else int(interval),
        "zones": zones or None,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    password = read_password(STDIN) if from_stdin else None
    typer.echo(
        add_camera(config, os.environ, camera, given, password=password, dry_run=dry_run)
    )


@cameras_app.command("rm")
def rm(
    *,
    camera: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption,
    dry_run: DryRunOption = False,
) -> None:
    """Take a camera out of the file."""
    from lsm_monitor.commands.camera_edit import remove_camera  # noqa: PLC0415

    typer.echo(remove_camera(config, os.environ, camera, dry_run=dry_run))


@cameras_app.command("test")
def try_cameras(
    *,
    config: ConfigOption,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Their names in the file.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every enabled camera.")] = False,
    parallel: ParallelOption = PARALLEL,
    watch_s: WatchOption = WATCH_S,
    as_json: JsonOption = False,
) -> None:
    """Open cameras and say what they send; exit code 69 when one cannot be opened."""
    if every == bool(names):
        msg = "name cameras, or give --all"
        raise typer.BadParameter(msg)
    loaded = load_config(config, needs_secrets=False)  # those of the broker may be elsewhere
    cameras = loaded.config.cameras
    wanted = (
        {name: camera for name, camera in cameras.items() if camera.enabled}
        if every
        else {name: loaded.config.camera(name) for name in names or []}
    )
    _expect_passwords(loaded, wanted)
    show_probes(wanted, parallel=parallel, watch_s=watch_s, as_json=as_json)


def _expect_passwords(loaded: LoadedConfig, cameras: Mapping[str, CameraConfig]) -> None:
    """Raise :class:`ConfigError` if a password of ``cameras`` is still a reference."""
    problems = []
    for name, camera in cameras.items():
        password = "" if camera.password is None else camera.password.get_secret_value()
        if is_reference(password):
            try:
                resolve(password, environ=os.environ, base_dir=loaded.path.parent)
            except ValueError as exc:
                problems.append(f"{loaded.places[name]}: cameras.{name}.password: {exc}")
    if problems:
        raise ConfigError("\n".join(problems))


def show_probes(
    cameras: Mapping[str, CameraConfig], *, parallel: int, watch_s: float, as_json: bool
) -> None:
    """Open ``cameras`` and print what came of each.

    Raises:
        typer.Exit: One of them cannot be opened.
    """
    from lsm_monitor.commands.camera_probe import COLUMNS, probe_cameras  # noqa: PLC0415
    from lsm_monitor.commands.tables import print_table  # noqa: PLC0415

    with _progress(len(cameras)) as advance:
        probes = probe_cameras(
            cameras, parallel=parallel, watch_s=watch_s, on_done=lambda _: advance()
        )
    if as_json:
        for each in probes:
            typer.echo(json.dumps(each.as_json_object()))
    elif sys.stdout.isatty():
        print_table(COLUMNS, (each.cells() for each in probes))
    else:
        for each in probes:
            typer.echo(each.line())
    if any(each.state == "failed" for each in probes):
        raise typer.Exit(EXIT_UNAVAILABLE)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Draw a bar on stderr if that is a terminal; yields what advances it by one."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a terminal needs it
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("opening cameras", total=total)
        yield lambda: progress.advance(task)


def _zones(texts: list[str]) -> dict[str, dict[str, list[list[float]]]]:
    """Return the zones that options describe.

    Raises:
        ValueError: One of them describes none, or two the same.
    """
    zones: dict[str, dict[str, list[list[float]]]] = {}
    for name, points in map(_zone, texts):
        if name in zones:
            msg = f"zone {name!r} is given twice"
            raise ValueError(msg)
        zones[name] = points
    return zones


def _zone(text: str) -> tuple[str, dict[str, list[list[float]]]]:
    """Return the zone that an option describes.

    Raises:
        ValueError: It does not describe one.
    """
    name, _, corners = text.partition("=")
    try:
        points = [[float(part) for part in corner.split(",")] for corner in corners.split()]
    except ValueError:
        points = []
    if not name or not points:
        msg = (
            f"{text!r} is no zone; write NAME=X,Y X,Y X,Y, as in 'lane=0.1,0.9 0.5,0.4 0.9,0.9'"
        )
        raise ValueError(msg)
    return name, {"points": points}
