"""Command line of the trainer. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from lsm_monitor.errors import BundleError
from lsm_monitor.model.bundle import load_bundle
from lsm_train.config import load_recipe
from lsm_train.data import read_pictures, read_stems
from lsm_train.errors import DataError, RecipeError, RunError
from lsm_train.evaluate import ALARM_FRACTIONS, Evaluation, evaluate

EXIT_USAGE = 2
EXIT_CONFIG = 78

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Data = Annotated[Path, typer.Option(help="Folder of data sets, with splits_dev.json.")]


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
) -> None:
    """Train a model as a recipe says."""
    # Training and exporting need the optional dependencies of 'lsm-monitor[train]';
    # evaluating a bundle does not.
    from lsm_train.loop import fit  # noqa: PLC0415

    loaded = load_recipe(recipe)
    folder = out or Path("runs", f"{loaded.name}-seed{seed}")
    fit(loaded, data=data, out=folder, seed=seed)
    print(folder)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="Folder that 'fit' has written.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; replaced.")],
    data: Data = Path("data"),
) -> None:
    """Turn a training run into a bundle; calibrates its threshold on the val part."""
    from lsm_train.export import export  # noqa: PLC0415 - as in fit

    print(export(run, data=data, out=out).model_dump_json(indent=2))


@app.command("evaluate")
def evaluate_command(
    *,
    bundle: Annotated[str, typer.Option(help="Name of a shipped bundle, or a folder.")],
    images: Annotated[Path, typer.Option(help="Folder of pictures.")],
    masks: Annotated[
        Path | None, typer.Option(help="Folder of masks; without it every picture is dry.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="FILE:PART, as splits_dev.json:val: only those pictures.")
    ] = None,
    per_image: Annotated[bool, typer.Option(help="Add each picture's figures.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a bundle on pictures: pixel counts at native size, alarms on dry pictures."""
    loaded = load_bundle(bundle)
    stems = None if split is None else read_stems(split, images)
    result = evaluate(
        loaded.model,
        read_pictures(images, masks=masks, stems=stems),
        input_size_px=loaded.manifest.input_size_px,
        threshold=loaded.manifest.threshold,
    )
    if as_json:
        print(json.dumps(result.as_json(bundle, per_image=per_image)))
    else:
        print(_table(result, per_image=per_image))


def _table(result: Evaluation, *, per_image: bool) -> str:
    """Return the figures for people."""
    counts = result.counts
    figures = {
        "pictures": len(result.scores),
        "threshold": result.threshold,
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "iou": counts.iou,
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


def _figure(value: float | None) -> str:
    if value is None:
        return "undefined"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def main() -> None:
    """Run the command line.

    Exits with 2 for pictures or folders that cannot be used, 78 for a recipe, run or bundle
    that cannot be used.
    """
    try:
        app()
    except DataError as exc:
        _fail(exc, EXIT_USAGE)
    except (RecipeError, RunError, BundleError) as exc:
        _fail(exc, EXIT_CONFIG)


def _fail(exc: Exception, status: int) -> None:
    print(f"error: {exc}", file=sys.stderr)
    raise SystemExit(status)
