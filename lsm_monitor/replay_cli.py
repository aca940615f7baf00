"""Command line of what is tried on recorded video: ``lsm-monitor replay`` and ``tune``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from lsm_monitor.cli_shared import EXIT_UNAVAILABLE, ConfigOption, JsonOption, load_config
from lsm_monitor.types import WaterLevel

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
    app.command()(tune)


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
            load_config(config, needs_secrets=False),
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


def tune(
    *,
    labels: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, metavar="LABELS", help="Floods of recorded videos."
        ),
    ],
    config: ConfigOption,
    camera: Annotated[
        str | None,
        typer.Option(help="Tune this camera; default: 'defaults', on each label's camera."),
    ] = None,
    level: Annotated[
        Literal["ponding", "flooded", "severe"], typer.Option(help="The level that alarms.")
    ] = "ponding",
    max_false_alarms: Annotated[
        float, typer.Option(min=0.0, metavar="N", help="At most so many per camera-day.")
    ] = 0.5,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep", metavar="KEY=V,V..", help="Try these values of a key; repeatable."
        ),
    ] = None,
    slack: Annotated[
        float, typer.Option(min=0.0, help="Seconds that labels may be wrong by.")
    ] = 60.0,
    min_floods: Annotated[
        int, typer.Option(min=1, help="Propose nothing on fewer labelled floods.")
    ] = 10,
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="Floods that operators confirmed count, too.")
    ] = False,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", file_okay=False, help="Made if absent."),
    ] = Path("tune"),
    jobs: JobsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The outcome as one JSON object on stdout.")
    ] = False,
) -> None:
    """Find the thresholds and dwells that find the labelled floods; proposes a diff.

    Writes the table of all trials, the curve and the diff; changes no configuration.
    """
    from lsm_monitor.commands import tune as tuning  # noqa: PLC0415
    from lsm_monitor.commands import tune_files  # noqa: PLC0415
    from lsm_monitor.commands.interrupt import Interrupt  # noqa: PLC0415
    from lsm_monitor.commands.jobs import default_jobs  # noqa: PLC0415
    from lsm_monitor.commands.labels import read_labels  # noqa: PLC0415
    from lsm_monitor.publish.outbox_open import OUTBOX_FILE  # noqa: PLC0415
    from lsm_monitor.runtime import state_dir  # noqa: PLC0415

    asked = dict(map(_values, values or []))
    loaded = load_config(config, needs_secrets=False)
    labelled = read_labels(labels)
    folder = state_dir.resolve(loaded.config.state_dir, os.environ) if verdicts else None
    with Interrupt() as interrupt:
        videos = tuning.watch(
            loaded,
            labelled,
            camera=camera,
            level=WaterLevel(level),
            outbox=folder and folder / OUTBOX_FILE,
            folder=out / "masks",
            jobs=jobs or default_jobs(len(labelled)),
            on_line=lambda line: typer.echo(line, err=True),
            should_stop=interrupt.is_requested,
        )
    if videos is None:
        typer.echo("stopped; what the model saw of whole videos is kept", err=True)
        raise typer.Exit(_SIGNALLED + interrupt.number)
    tuned = tuning.tune(
        loaded,
        videos,
        camera=camera,
        level=WaterLevel(level),
        asked=asked,
        slack_s=slack,
        max_false_alarms=max_false_alarms,
        least_floods=min_floods,
        environ=os.environ,
    )
    tune_files.write_files(out, tuned, max_false_alarms=max_false_alarms)
    if as_json:
        typer.echo(json.dumps(tune_files.as_json_object(tuned)))
    else:
        for line in tune_files.lines_of(tuned):
            typer.echo(line, err=True)
        if tuned.diff is not None:
            typer.echo(tuned.diff, nl=False)
    if tuned.choice.refusal is not None:
        typer.echo(f"nothing is proposed: {tuned.choice.refusal}", err=True)
        if not tuned.choice.is_now:
            raise typer.Exit(EXIT_UNAVAILABLE)


def _values(text: str) -> tuple[str, list[float]]:
    """Return the key and the values that an option names.

    Raises:
        typer.BadParameter: It does not name any.
    """
    key, _, values = text.partition("=")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        msg = f"{text!r}: write KEY=V,V.., as in open_for_s=10,20,30"
        raise typer.BadParameter(msg) from None
    return key, numbers
