"""Command line of the trainer. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated

import typer

from lsm_monitor.errors import BundleError, WeightsError
from lsm_monitor.model.bundle import load_bundle
from lsm_train.adapt_cli import adapt_command
from lsm_train.class_evaluation import ClassEvaluation, evaluate_classes
from lsm_train.contact_sheet import draw_contact_sheet
from lsm_train.data import Picture, read_pictures, read_stems
from lsm_train.distributed import DeviceName, find_device
from lsm_train.errors import DataError, GuardError, RecipeError, RunError
from lsm_train.evaluate import ALARM_FRACTIONS, Evaluation, evaluate
from lsm_train.recipe_file import load_recipe
from lsm_train.stages import Branch

EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_SOFTWARE = 70
EXIT_CONFIG = 78

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of data sets, with splits_dev.json.")]


app.command("adapt")(adapt_command)


@app.callback()
def root() -> None:
    """Trainer of lsm-monitor's models."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")


@app.command("fit")
def fit_command(
    recipe: Annotated[Path, typer.Argument(help="YAML file, see config/train/.")],
    *,
    data: Data = Path("data"),
    out: Annotated[Path | None, typer.Option(help="Default: runs/NAME-seedN.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    reuse: Annotated[
        Path | None,
        typer.Option(help="Run whose stages small and large are taken over if they are equal."),
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="auto takes CUDA where it is.")] = "auto",
) -> None:
    """Train a model as a recipe says; goes on with a run that was interrupted."""
    # Training and exporting need the optional dependencies of 'lsm-monitor[train]';
    # evaluating a bundle does not.
    with _train_extra():
        from lsm_train.fit import fit  # noqa: PLC0415

    loaded = load_recipe(recipe)
    folder = out or Path("runs", f"{loaded.name}-seed{seed}")
    fit(loaded, data=data, out=folder, seed=seed, reuse=reuse, device=device)
    print(folder)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="Folder that 'fit' has written.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; replaced.")],
    data: Data = Path("data"),
) -> None:
    """Turn a training run into a bundle; calibrates what counts as water on the val part."""
    with _train_extra():
        from lsm_train.export import export  # noqa: PLC0415 - as in fit

    print(export(run, data=data, out=out).model_dump_json(indent=2))


@app.command("synthesize")
def synthesize_command(
    *,
    images: Annotated[Path, typer.Option(help="Folder of dry pictures.")],
    roads: Annotated[Path, typer.Option(help="Folder of their road masks.")],
    out: Annotated[Path, typer.Option(help="Folder of the new data set; must be empty.")],
    count: Annotated[int, typer.Option(min=1, help="Pictures to make.")] = 100,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    wet_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of wet roads without water.")
    ] = 0.15,
    dry_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of pictures left dry.")
    ] = 0.1,
) -> None:
    """Flood photographs of dry roads; writes pictures, exact masks and meta.csv."""
    from lsm_train.synthesize import synthesize  # noqa: PLC0415 - as in fit

    if wet_share + dry_share > 1.0:
        msg = "--wet-share and --dry-share add up to more than 1"
        raise typer.BadParameter(msg)
    synthesize(
        images, roads, out, count=count, seed=seed, wet_share=wet_share, dry_share=dry_share
    )
    print(out)


@app.command("synthesize-clip")
def synthesize_clip_command(
    image: Annotated[Path, typer.Argument(help="Picture of a dry road.")],
    road: Annotated[Path, typer.Argument(help="Its road mask.")],
    *,
    out: Annotated[Path, typer.Option(help="The clip, .mp4; the truth goes beside it, .csv.")],
    duration_s: Annotated[float, typer.Option("--duration", min=0.1, help="Seconds.")] = 60.0,
    fps: Annotated[int, typer.Option(min=1, max=60)] = 10,
    rise_per_minute: Annotated[
        float, typer.Option(min=0.0, help="Rise of the water, as a share of its full level.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Let the water rise on the photograph of a dry road, at a known rate."""
    from lsm_train.synthesize import synthesize_clip  # noqa: PLC0415 - as in fit

    if out.suffix != ".mp4":
        msg = f"{out}: the clip is an MP4 file; end its name in .mp4"
        raise typer.BadParameter(msg, param_hint="--out")
    if duration_s * fps < 1.0:
        msg = f"{duration_s:g} s at {fps} pictures a second have no picture"
        raise typer.BadParameter(msg, param_hint="--duration")
    synthesize_clip(
        image,
        road,
        out,
        duration_s=duration_s,
        fps=fps,
        rise_per_minute=rise_per_minute,
        seed=seed,
    )
    print(out)


@app.command("evaluate")
def evaluate_command(
    *,
    bundle: Annotated[str, typer.Option(help="Name of a shipped bundle, or a folder.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks; without it every picture is dry.")
    ] = None,
    roads: Annotated[
        Path | None, typer.Option(help="Folder of road masks, for models of several classes.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="FILE:PART, as splits_dev.json:val: only those pictures.")
    ] = None,
    branch: Annotated[
        Branch, typer.Option(help="The whole model, or one of its halves alone.")
    ] = "whole",
    device: Annotated[DeviceName, typer.Option(help="auto takes CUDA where it is.")] = "auto",
    per_image: Annotated[bool, typer.Option(help="Add each picture's figures.")] = False,
    curve: Annotated[
        Path | None, typer.Option(help="Draw precision over recall: .png, and .json beside it.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw pictures and predictions: .png or .jpg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a bundle on pictures: pixel counts at native size, alarms on dry pictures."""
    loaded = load_bundle(bundle)
    if branch == "small" and loaded.model.head.small_model is None:
        msg = f"the bundle {bundle!r} has no small model"
        raise typer.BadParameter(msg, param_hint="--branch")
    _require_drawable(curve, sheet)
    model = loaded.model.to(find_device(device))
    stems = None if split is None else read_stems(split, images)
    rule = loaded.manifest.water_rule
    pictures: Iterable[Picture] = read_pictures(images, masks=masks, roads=roads, stems=stems)
    has_classes = loaded.manifest.parts.decoder is not None and branch == "whole"
    if sheet is not None or has_classes:  # they are looked at twice
        pictures = list(pictures)
    result = evaluate(model, pictures, water_rule=rule, branch=branch)
    by_class = evaluate_classes(model, pictures, water_rule=rule) if has_classes else None
    if curve is not None:
        with _train_extra():
            from lsm_train.curves import write_curve  # noqa: PLC0415 - as in fit

        write_curve(curve, {bundle: result.curve})
    if sheet is not None:
        draw_contact_sheet(sheet, model, list(pictures), water_rule=rule, branch=branch)
    if as_json:
        found = {} if by_class is None else by_class.as_json()
        print(json.dumps({**result.as_json(bundle, per_image=per_image), **found}))
    else:
        print(_table(result, per_image=per_image))
        if by_class is not None:
            print(_class_table(by_class))


def _require_drawable(curve: Path | None, sheet: Path | None) -> None:
    """Tell before the work, not after it, what cannot be drawn."""
    for option, path, suffixes in (
        ("--curve", curve, (".png",)),
        ("--sheet", sheet, (".png", ".jpg")),
    ):
        if path is None:
            continue
        if not path.parent.is_dir():
            msg = f"{path.parent}: no such folder; make it first"
            raise DataError(msg)
        if path.suffix not in suffixes:
            msg = f"{path}: end its name in {' or '.join(suffixes)}"
            raise typer.BadParameter(msg, param_hint=option)


@contextmanager
def _train_extra() -> Iterator[None]:
    """Say what to install when one of the trainer's libraries is missing."""
    try:
        yield
    except ModuleNotFoundError as exc:
        msg = f"{exc.name} is not installed; run: pip install 'lsm-monitor[train]'"
        raise RunError(msg) from exc


def _table(result: Evaluation, *, per_image: bool) -> str:
    """Return the figures for people."""
    counts = result.counts
    figures = {
        "pictures": len(result.scores),
        "threshold": result.water_rule.threshold,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "iou": counts.iou,
        "wet mean iou": result.wet_mean_iou,
        "dry pictures": len(result.dry_scores),
        **{f"alarms > {key:g}": result.alarm_share(key) for key in ALARM_FRACTIONS},
    }
    lines = [f"{name:<14}{_figure(value)}" for name, value in figures.items()]
    if per_image:
        lines.append(f"\n{'picture':<40} {'true':>6} {'found':>6} {'iou':>6}")
        lines += [
            f"{score.name:<40} {score.water_fraction_true:6.3f} "
            f"{score.water_fraction_predicted:6.3f} {score.iou:6.3f}"
            for score in result.scores
        ]
    return "\n".join(lines)


def _class_table(result: ClassEvaluation) -> str:
    """Return the figures of each class for people."""
    lines = [f"\n{'class':<14}{'iou':>10}{'precision':>11}{'recall':>10}"]
    lines += [
        f"{name:<14}{_figure(counts.iou):>10}{_figure(counts.precision):>11}"
        f"{_figure(counts.recall):>10}"
        for name, counts in result.counts.items()
    ]
    return "\n".join([*lines, f"road share, error {_figure(result.road_share_error)}"])


def _figure(value: float | None) -> str:
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def main() -> None:
    """Run the command line.

    Exits with 2 for pictures or folders that cannot be used, 3 for a fitted model that the
    guard refuses, 70 for a fault of ours, 78 for a recipe, run or bundle that cannot be used.
    """
    sys.excepthook = _report_fault
    try:
        # Not ``app`` itself: whoever calls that gets typer's own excepthook instead of ours.
        typer.main.get_command(app)()
    except DataError as exc:
        _fail(exc, EXIT_USAGE)
    except GuardError as exc:
        _fail(exc, EXIT_REFUSED)
    except (RecipeError, RunError, BundleError, WeightsError) as exc:
        _fail(exc, EXIT_CONFIG)


def _report_fault(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    traceback.print_exception(kind, error, trace)
    raise SystemExit(EXIT_SOFTWARE)


def _fail(exc: Exception, status: int) -> None:
    print(f"error: {exc}", file=sys.stderr)
    raise SystemExit(status)
