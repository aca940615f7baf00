"""Command line of what is tried on recorded video: ``lsm-monitor replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.cli_shared import EXIT_UNAVAILABLE, ConfigOption, JsonOption, load_config

OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", file_okay=False, help="Made if absent."),
]
JobsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Videos at once, each with a model in memory. Default: by cores."),
]
_SIGNALLED = 128
"""What shells add to the number of the signal that ended a command."""


def add_to(app: typer.Typer) -> None:
    """Make them commands of ``app``."""
    app.command()(replay)


def replay(
    *,
    videos: Annotated[
        list[Path], typer.Argument(exists=True, metavar="VIDEO...", help="Files or folders.")
    ],
    config: ConfigOption,
    camera: Annotated[
        str | None,
        typer.Option(help="Judge by this camera's settings; default: those of 'defaults'."),
    ] = None,
    out: OutOption = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the same pipeline on recorded video, on the video's own clock, as fast as it goes.

    With --out each video gets its events, a table of readings, and a timeline as PNG and HTML.
    """
    from lsm_monitor.commands.interrupt import Interrupt  # noqa: PLC0415
    from lsm_monitor.commands.jobs import default_jobs  # noqa: PLC0415
    from lsm_monitor.commands.replay import event_line  # noqa: PLC0415
    from lsm_monitor.commands.replay_many import replay_videos  # noqa: PLC0415

    def tell(_video: Path, payload: bytes) -> None:
        typer.echo(payload.decode() if as_json else event_line(payload))

    with Interrupt() as interrupt:
        is_complete = replay_videos(
            load_config(config),
            videos,
            camera=camera,
            out_dir=out,
            jobs=jobs or default_jobs(len(videos)),
            on_event=tell,
            on_line=lambda line: typer.echo(line, err=True),
            should_stop=interrupt.is_requested,
        )
    if interrupt.number:
        typer.echo("stopped; what came before is kept", err=True)
        raise typer.Exit(_SIGNALLED + interrupt.number)
    if not is_complete:
        raise typer.Exit(EXIT_UNAVAILABLE)
