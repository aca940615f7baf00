"""``lsm-monitor export-hard``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.cli_shared import StateDirOption, StateOfOption, state_folder


def export_hard(
    out: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="A new folder.")],
    config: StateOfOption = None,
    folder: StateDirOption = None,
    *,
    bundle: Annotated[str, typer.Option(help="Whose doubts count.")] = "compact",
    per_camera_day: Annotated[
        int, typer.Option(min=1, help="Most pictures of a camera and day.")
    ] = 10,
) -> None:
    """Pick the pictures that would teach the model most, for `lsm-train adapt`."""
    # They load torch: see the docstring of cli.py.
    from lsm_monitor.commands.export_hard import export_hard as export  # noqa: PLC0415
    from lsm_monitor.commands.hard_examples import Rules  # noqa: PLC0415

    picked, left_out = export(
        state_folder(config, folder),
        out,
        bundle=bundle,
        rules=Rules(per_camera_day=per_camera_day),
        now=datetime.now(UTC),
    )
    typer.echo(f"{out}: {picked} pictures")
    for reason, count in sorted(left_out.items()):
        typer.echo(f"left out: {count}: {reason}", err=True)
