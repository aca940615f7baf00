"""Command line of the engines: which there are, what they see, how fast they are.

It stands here and not with the engines because it is a composition root: it tries them on the
daemon's model and pictures, and engines know neither. stdout is for results, stderr for logs
and progress; exit codes are those of ``lsm-monitor``, and 1 when an engine is found wrong.
The heavy imports happen inside the commands.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lsm_engines.api import EngineError, EngineRequest, Precision
from lsm_engines.plans import PlanStore, default_plans_folder
from lsm_engines.registry import BACKENDS, installed_version
from lsm_monitor.cli import BundleOption, run_guarded
from lsm_monitor.cli_shared import EXIT_SOFTWARE, EXIT_UNAVAILABLE

if TYPE_CHECKING:  # these load torch
    from lsm_engines.contest import Contender
    from lsm_monitor.model.preprocess import ImageArray

EXIT_WRONG = 1
_SCALE_1080P = 3
_MAX_BATCH = 64

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Build, compare and measure what runs the model.",
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BackendsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", metavar="NAME", help="May be repeated; 'all', the default, is each."
    ),
]
DeviceOption = Annotated[Literal["auto", "cpu", "cuda"], typer.Option()]
ThreadsOption = Annotated[int, typer.Option(min=0, max=256, help="CPU threads; 0: all cores.")]
PrecisionOption = Annotated[
    Precision | None, typer.Option(help="Arithmetic; by default what is usual on the device.")
]


@app.command()
def info(*, as_json: JsonOption = False) -> None:
    """List this machine and the backends: which are installed, how to install the others."""
    from lsm_engines.machine import this_machine  # noqa: PLC0415 - see the module docstring

    rows = [
        {
            "backend": name,
            "version": installed_version(backend),
            "devices": backend.devices,
            "install": backend.install,
        }
        for name, backend in BACKENDS.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    typer.echo(f"this machine: {this_machine()}")
    for name, backend in BACKENDS.items():
        state = installed_version(backend) or f"not installed; run: {backend.install}"
        typer.echo(f"{name:<13} {', '.join(backend.devices):<10} {state}")


@app.command()
def export(
    *,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="p/m.onnx: p/m-encoder.onnx, p/m-head.onnx.")
    ],
    bundle: BundleOption = "compact",
) -> None:
    """Write the model's graphs as ONNX files, float32, with a dynamic batch."""
    from lsm_engines.export import onnx_file  # noqa: PLC0415
    from lsm_monitor.commands.engine_parts import load_parts  # noqa: PLC0415

    if out.suffix != ".onnx" or not out.parent.is_dir():
        msg = f"{out} must end in .onnx and lie in a folder that exists"
        raise typer.BadParameter(msg, param_hint="--out")
    graphs = load_parts(bundle).graphs
    for graph in (graphs.encoder, graphs.head):
        if graph is None:
            _say("this model's head is no graph; PyTorch runs it")
            continue
        path = out.with_stem(f"{out.stem}-{graph.name}")
        try:
            shutil.copyfile(onnx_file(graph, _plans()), path)
        except OSError as exc:
            msg = f"{path}: cannot write ({exc.strerror})"
            raise EngineError(msg) from exc
        typer.echo(path)


@app.command()
def build(
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The daemon's; default: the daemon's defaults."),
    ] = None,
) -> None:
    """Build ahead of time what the daemon would build at its first start.

    Exit code 1 when the configured backend does not work, and the daemon would run on PyTorch.
    """
    from lsm_monitor.config.loader import load  # noqa: PLC0415
    from lsm_monitor.config.models import ModelConfig  # noqa: PLC0415
    from lsm_monitor.runtime.judging import open_segmenter  # noqa: PLC0415

    model = ModelConfig()
    if config is not None:
        model = load(config, os.environ, needs_secrets=False).config.model
    segmenter = open_segmenter(model, max_batch=model.max_batch, on_progress=_say)
    segmenter.warm_up()
    segmenter.close()
    found = segmenter.identity.backend
    typer.echo(f"{model.bundle}: {found} on {segmenter.device}")
    if model.backend != "auto" and not found.startswith(f"{model.backend}-"):
        raise typer.Exit(EXIT_WRONG)


@app.command()
def check(
    *,
    bundle: BundleOption = "compact",
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", exists=True, help="Pictures; default: a rendered street, flooding."
        ),
    ] = None,
    backend: BackendsOption = None,
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare every installed backend with PyTorch on pictures; exit code 1 when one is wrong.

    Errors are in standard deviations of what PyTorch answers: mean / worst value.
    """
    from lsm_monitor.commands.engine_check import check_engines  # noqa: PLC0415
    from lsm_monitor.commands.engine_parts import load_parts  # noqa: PLC0415
    from lsm_monitor.commands.engine_report import verdict_lines  # noqa: PLC0415
    from lsm_monitor.demo.street_pictures import street_pictures  # noqa: PLC0415

    pictures = street_pictures() if images is None else _read(images)
    where, contenders = _contenders(device, backend, precision)
    verdicts = check_engines(
        load_parts(bundle),
        contenders,
        pictures,
        request=EngineRequest(where, threads),
        plans=_plans(),
        progress=_say,
    )
    if as_json:
        typer.echo(json.dumps([asdict(verdict) for verdict in verdicts]))
    else:
        for line in verdict_lines(verdicts):
            typer.echo(line)
    if any(verdict.fault is not None for verdict in verdicts):
        raise typer.Exit(EXIT_WRONG)


@app.command()
def bench(
    *,
    bundle: BundleOption = "compact",
    backend: BackendsOption = None,
    batch: Annotated[str, typer.Option(metavar="N,N", help="Pictures per call.")] = "1,4",
    precision: PrecisionOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    seconds: Annotated[float, typer.Option(min=0.1, help="For each row.")] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Measure pictures per second, from tensors to maps and from 1080p pictures to masks.

    Without --threads the result is kept for 'lsm-monitor check'.
    """
    from lsm_monitor.commands.engine_bench import bench_engines  # noqa: PLC0415
    from lsm_monitor.commands.engine_parts import load_parts  # noqa: PLC0415
    from lsm_monitor.commands.engine_report import bench_lines, cameras_line  # noqa: PLC0415
    from lsm_monitor.demo.street_pictures import (  # noqa: PLC0415
        key_frames,
        street_pictures,
    )

    batches = _numbers(batch)
    where, contenders = _contenders(device, backend, precision)
    parts = load_parts(bundle)
    pictures = [picture for _, picture in street_pictures(_SCALE_1080P)]
    result = bench_engines(
        parts,
        contenders,
        pictures[-1],
        key_frames(pictures),
        batches=batches,
        request=EngineRequest(where, threads),
        seconds=seconds,
        plans=_plans(),
        progress=_say,
    )
    for name, why in result.rejected.items():
        _say(f"{name}: {why}")
    if not result.rows:
        msg = "none of these backends can be measured here"
        raise EngineError(msg)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        for line in bench_lines(result):
            typer.echo(line)
        typer.echo(cameras_line(result))
    if threads == 0:  # as the daemon runs it, unless its file says otherwise
        _keep_capacity(result.best, f"{parts.manifest.name} {parts.manifest.version}")


def main() -> None:
    """Run the command line; exits with the status in the module's documentation."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # see lsm_monitor.cli.main
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lsm_engines").setLevel(logging.INFO)
    sys.excepthook = _report_fault
    sys.exit(run_guarded(_run))


def _run() -> None:
    try:
        typer.main.get_command(app)()  # see lsm_monitor.cli.main
    except EngineError as exc:
        _say(str(exc))
        raise SystemExit(EXIT_UNAVAILABLE) from None


def _report_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    traceback.print_exception(kind, error, trace)
    raise SystemExit(EXIT_SOFTWARE)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _plans() -> PlanStore:
    return PlanStore(on_progress=_say)


def _contenders(
    device: str, names: list[str] | None, precision: Precision | None
) -> tuple[str, list[Contender]]:
    """Return the device and who takes part; say why others do not.

    Raises:
        BadParameter: A name is unknown.
        EngineError: Nobody takes part.
    """
    from lsm_monitor.commands.engine_parts import (  # noqa: PLC0415
        contenders_of,
        resolve_device,
    )

    backends = [] if names is None or "all" in names else names
    for name in backends:
        if name not in {*BACKENDS, "auto"}:
            msg = f"{name!r} is unknown; known are all, auto, {', '.join(BACKENDS)}"
            raise typer.BadParameter(msg, param_hint="--backend")
    device = resolve_device(device)
    contenders, rejected = contenders_of(device, backends, precision)
    for name, why in rejected.items():
        _say(f"{name}: {why}")
    if not contenders:
        msg = "none of these backends can be used here"
        raise EngineError(msg)
    return device, contenders


def _numbers(text: str) -> list[int]:
    """Return "1,4" as [1, 4]."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(1 <= number <= _MAX_BATCH for number in numbers):
        msg = f"{text!r} must be numbers from 1 to {_MAX_BATCH}, such as 1,4"
        raise typer.BadParameter(msg, param_hint="--batch")
    return numbers


def _read(images: Path) -> Iterator[tuple[str, ImageArray]]:
    """Yield the pictures of a folder, or the one picture."""
    from lsm_monitor.commands.pictures import read_rgb  # noqa: PLC0415
    from lsm_monitor.commands.segment import find_pictures  # noqa: PLC0415

    try:
        found = find_pictures([images])
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--images") from None
    return (
        (f"{path.name} ({i} of {len(found)})", read_rgb(path))
        for i, path in enumerate(found, 1)
    )


def _keep_capacity(rates: Mapping[str, float], model: str) -> None:
    from lsm_engines.machine import this_machine  # noqa: PLC0415
    from lsm_monitor.inference.capacity import Capacity, read_capacity  # noqa: PLC0415

    folder = default_plans_folder()
    if folder is None:
        return
    machine, measured = str(this_machine()), datetime.now(UTC).isoformat(timespec="seconds")
    before = read_capacity(folder)
    if before is not None and (before.machine, before.model) == (machine, model):
        rates = {**before.pictures_per_second, **rates}  # other backends, measured before
    try:
        path = Capacity(machine, model, measured, rates).write(folder)
    except OSError as exc:
        _say(f"{folder}: the result cannot be kept for 'lsm-monitor check' ({exc.strerror})")
    else:
        _say(f"kept for 'lsm-monitor check' in {path}")
