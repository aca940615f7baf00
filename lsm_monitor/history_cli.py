"""Command line of the history: ``lsm-monitor history``."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.cli_shared import (
    JsonOption,
    StateDirOption,
    StateOfOption,
    moment,
    state_folder,
)
from lsm_monitor.errors import StoreError
from lsm_monitor.history import query
from lsm_monitor.history.history import HISTORY_FILE
from lsm_monitor.history.tiers import Reading
from lsm_monitor.types import CameraId, ZoneId

history_app = typer.Typer(no_args_is_help=True, help="Readings of every zone.")
_COLUMNS = ("at", "camera", "zone", "fraction", "fraction_max", "level", "depth_cm")


@history_app.callback()
def _group() -> None:
    """Make it a group while it has one command."""


@history_app.command("export")
def history_export(
    camera: Annotated[str, typer.Argument(metavar="CAMERA")],
    config: StateOfOption = None,
    folder: StateDirOption = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="24h, 7d, 2026-07-18; default: 24h."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(parser=moment, metavar="TIME", help="Default: now.")
    ] = None,
    *,
    points: Annotated[
        int | None, typer.Option(min=1, help="At most so many per zone; default: all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a camera's readings as CSV, as fine as they are kept."""
    path = state_folder(config, folder) / HISTORY_FILE
    if not path.exists():
        msg = f"history {path}: is not there; give the daemon's --config or --state-dir"
        raise StoreError(msg)
    end = until or datetime.now(UTC)
    start = since or end - timedelta(days=1)
    if end <= start:
        msg = f"there is no time from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
        raise typer.BadParameter(msg)
    zones = query.read(path, CameraId(camera), start, end, points)
    if not zones:
        _require_known(camera, path)
    _write(zones, camera, as_json=as_json)


def _require_known(camera: str, path: Path) -> None:
    """A camera may have no readings at that time; a name mistyped never has any."""
    known = query.cameras(path)
    if camera not in known:
        close = difflib.get_close_matches(camera, known, n=3)
        hint = f"did you mean {', '.join(close)}?" if close else f"only of {len(known)} others"
        msg = f"history {path}: has readings of no camera {camera!r}; {hint}"
        raise typer.BadParameter(msg, param_hint="CAMERA")


def _write(zones: dict[ZoneId, list[Reading]], camera: str, *, as_json: bool) -> None:
    table = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
    if not as_json:
        table.writeheader()
    for zone, readings in zones.items():
        for reading in readings:
            row = {
                "camera": camera,
                "zone": zone,
                **asdict(reading),
                "at": reading.at.isoformat(),
            }
            if as_json:
                typer.echo(json.dumps(row))
            else:
                table.writerow(row)
