"""Command line of the daemon: parses, reports errors, sets exit codes; does nothing else.

stdout is for results, stderr for logs and progress. Exit codes are sysexits': 0 done,
2 usage, 69 something outside is not available, 70 our own fault, 78 bad configuration.
The heavy imports (torch, av) happen inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal

import typer

import lsm_monitor
from lsm_engines.plans import default_plans_folder
from lsm_monitor import hard_cli, history_cli, outbox_cli, replay_cli, service_cli, users_cli
from lsm_monitor.cameras_cli import (
    PARALLEL,
    WATCH_S,
    ParallelOption,
    WatchOption,
    cameras_app,
    show_probes,
)
from lsm_monitor.cli_shared import (
    EXIT_CONFIG,
    EXIT_SOFTWARE,
    EXIT_UNAVAILABLE,
    ConfigOption,
    JsonOption,
    PasswordFileOption,
    read_password,
)
from lsm_monitor.cli_shared import configure_logs as _configure_logs
from lsm_monitor.cli_shared import load_config as _load
from lsm_monitor.config.cameras import HwAccel
from lsm_monitor.config.models import MonitorConfig
from lsm_monitor.errors import (
    BrokerError,
    BundleError,
    ConfigError,
    DaemonUnreachableError,
    LsmMonitorError,
    PictureError,
    SourceError,
    StoreError,
    WeightsError,
    WeightsUnavailableError,
)

logger = logging.getLogger(__name__)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables: passwords
    help="Watch street cameras for standing water and publish flood events over MQTT.",
)
weights_app = typer.Typer(
    no_args_is_help=True, help="The official SAM checkpoints on this machine."
)
app.add_typer(weights_app, name="weights")
app.add_typer(service_cli.service_app, name="service")
app.command()(service_cli.status)
app.add_typer(cameras_app, name="cameras")
outbox_cli.add_to(app)
app.add_typer(history_cli.history_app, name="history")
replay_cli.add_to(app)
app.add_typer(users_cli.users_app, name="users")
app.command("export-hard")(hard_cli.export_hard)

BundleOption = Annotated[str, typer.Option(help="Shipped bundle, or the path of one.")]


@app.command()
def run(config: ConfigOption) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from lsm_monitor.app import run_until_signalled  # noqa: PLC0415 - see the module docstring

    loaded = _load(config, log=True)
    asyncio.run(run_until_signalled(loaded, os.environ))


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=1, help="Stop after so many seconds of watching.")
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Own clip instead of the scene; looped."
        ),
    ] = None,
    as_json: JsonOption = False,
    stay: Annotated[
        bool | None,
        typer.Option(
            help="Go on after the flood, until Ctrl-C, for the page. Default: in a terminal."
        ),
    ] = None,
) -> None:
    """Run everything: rendered camera, RTSP, daemon, broker, subscriber, and the page."""
    from lsm_monitor.demo.command import run_demo  # noqa: PLC0415

    _configure_logs(level="warning", fmt="logfmt", secrets=[])
    if stay is None:
        stay = sys.stdin.isatty() and not as_json
    run_demo(seconds=seconds, video=video, as_json=as_json, stay=stay)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file to check.")],
    probe: Annotated[bool, typer.Option(help="Also open every camera.")] = False,
    parallel: ParallelOption = PARALLEL,
    watch_s: WatchOption = WATCH_S,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --probe: one JSON object per camera.")
    ] = False,
) -> None:
    """Check a configuration, its files and its model; starts nothing."""
    from lsm_monitor.commands.check import (  # noqa: PLC0415
        check_certificates,
        check_credentials,
        check_http,
        check_load,
        check_model,
    )

    loaded = _load(file, needs_credentials=probe)
    check_certificates(loaded.config.mqtt)
    check_http(loaded.config.http)
    model = check_model(loaded.config, progress=lambda line: typer.echo(line, err=True))
    cameras = loaded.config.cameras
    typer.echo(
        f"{file}: ok: {len(cameras)} cameras, model {model.name} {model.version} on "
        f"{model.backend}",
        err=as_json,
    )
    for hint in (
        check_load(loaded.config, model, default_plans_folder()),
        check_credentials(loaded.config),
    ):
        if hint is not None:
            typer.echo(hint, err=as_json)
    if probe:
        enabled = {name: camera for name, camera in cameras.items() if camera.enabled}
        show_probes(enabled, parallel=parallel, watch_s=watch_s, as_json=as_json)


@app.command()
def probe(  # noqa: PLR0917 - options are named on the command line
    url: Annotated[
        str, typer.Argument(help="Address, v4l2: device, video file or picture folder.")
    ],
    username: Annotated[str | None, typer.Option(help="User at the camera.")] = None,
    password_file: PasswordFileOption = None,
    transport: Annotated[Literal["tcp", "udp"], typer.Option()] = "tcp",
    hwaccel: Annotated[HwAccel, typer.Option(help="Device to decode on.")] = "none",
    as_json: JsonOption = False,
) -> None:
    """Open one source and say what it sends: codec, size, key-frame interval, time-outs."""
    from lsm_monitor.commands.probe import as_json_object, describe, probe_url  # noqa: PLC0415

    password = None if password_file is None else read_password(password_file)
    _configure_logs(
        level="warning",
        fmt="logfmt",
        secrets=[password.get_secret_value()] if password else [],
    )
    report = probe_url(
        url, username=username, password=password, transport=transport, hwaccel=hwaccel
    )
    typer.echo(json.dumps(as_json_object(report)) if as_json else describe(report))


@app.command()
def snapshot(
    camera: Annotated[str, typer.Argument(metavar="CAMERA", help="Its name in the file.")],
    config: ConfigOption,
    out: Annotated[Path, typer.Option(help="Picture to write, .jpg or .png.")],
    plain: Annotated[bool, typer.Option(help="Without the zones drawn in.")] = False,
) -> None:
    """Take one picture from a camera and draw its zones, to see that they fit."""
    from lsm_monitor.commands.snapshot import take_snapshot  # noqa: PLC0415

    size_wh = take_snapshot(_load(config).config, camera, out, draw_zones=not plain)
    typer.echo(f"{out}: {size_wh[0]}x{size_wh[1]}")


@app.command()
def segment(
    pictures: Annotated[list[Path], typer.Argument(exists=True, metavar="IMAGE|DIR...")],
    out: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="Made if absent.")],
    bundle: BundleOption = "compact",
    as_json: JsonOption = False,
) -> None:
    """Find water in pictures: writes masks and overlays, prints the water fraction."""
    from lsm_monitor.commands.segment import find_pictures  # noqa: PLC0415
    from lsm_monitor.commands.segment import segment as segment_all  # noqa: PLC0415
    from lsm_monitor.inference.segmenter import Segmenter  # noqa: PLC0415

    try:
        found = find_pictures(pictures)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    segmenter = Segmenter.open(bundle, backend="auto", device="auto", threads=0, max_batch=1)
    failed = False
    for result in segment_all(found, out, segmenter):
        failed |= result.error is not None
        if as_json:
            typer.echo(json.dumps(asdict(result)))
        elif result.error is not None:
            typer.echo(result.error, err=True)
        else:
            typer.echo(
                f"{result.picture}: {result.water_fraction:.1%} water -> {result.overlay}"
            )
    if failed:
        raise typer.Exit(EXIT_UNAVAILABLE)


@weights_app.command("fetch")
def weights_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See 'weights list'.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", exists=True, dir_okay=False, help="Copy this file instead of downloading."
        ),
    ] = None,
) -> None:
    """Fetch an official checkpoint and verify it; resumes what was interrupted."""
    from lsm_monitor.commands.weights import fetch_weights  # noqa: PLC0415

    try:
        path = fetch_weights(
            name,
            os.environ,
            source=source,
            progress=lambda line: typer.echo(line, err=True),
        )
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    typer.echo(f"{path}: ok")


@weights_app.command("verify")
def weights_verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: all that are here.")
    ] = None,
) -> None:
    """Check that checkpoints are the published files, byte for byte."""
    from lsm_monitor.commands.weights import verify_weights  # noqa: PLC0415

    try:
        paths = verify_weights(name, os.environ)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None
    for path in paths:
        typer.echo(f"{path}: ok")


@weights_app.command("list")
def weights_list(as_json: JsonOption = False) -> None:
    """List the official checkpoints and where they lie."""
    from lsm_monitor.commands.weights import list_weights  # noqa: PLC0415

    for status in list_weights(os.environ):
        typer.echo(json.dumps(asdict(status)) if as_json else status.describe())


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    typer.echo(json.dumps(MonitorConfig.model_json_schema(), indent=2))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"lsm-monitor {lsm_monitor.__version__}")


def main() -> None:
    """Run the command line; every error that we raise on purpose becomes an exit code."""
    # Before torch loads its OpenMP, whose threads otherwise spin while they wait for each
    # other: on two cores shared with one busy neighbour a frame then takes 10 to 30 times as
    # long (benchmarks/results.md). An idle machine pays a few milliseconds per frame for it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.excepthook = _report_fault
    # Not ``app`` itself: whoever calls that gets typer's own excepthook instead of ours.
    sys.exit(run_guarded(typer.main.get_command(app)))


def run_guarded(command: Callable[[], object]) -> int:
    """Return the exit code of ``command``, after printing its error on stderr."""
    try:
        command()
    except (
        SourceError,
        BrokerError,
        StoreError,
        PictureError,
        WeightsUnavailableError,
        DaemonUnreachableError,
    ) as exc:
        return _fail(exc, EXIT_UNAVAILABLE)
    except (ConfigError, BundleError, WeightsError) as exc:
        return _fail(exc, EXIT_CONFIG)
    except LsmMonitorError as exc:
        return _fail(exc, EXIT_SOFTWARE)
    except SystemExit as exc:  # typer's own way out
        return exc.code if isinstance(exc.code, int) else EXIT_SOFTWARE
    except KeyboardInterrupt:
        return 130
    return 0


def _report_fault(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Log a fault of ours, cleaned of credentials, and exit as sysexits' EX_SOFTWARE."""
    logger.critical("fault in lsm-monitor", exc_info=(kind, error, traceback))
    raise SystemExit(EXIT_SOFTWARE)


def _fail(exc: Exception, code: int) -> int:
    typer.echo(str(exc), err=True)
    return code
