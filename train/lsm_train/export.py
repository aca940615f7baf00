"""From a training run to a bundle the daemon can load."""

from __future__ import annotations

import itertools
import platform
from pathlib import Path

import torch

import lsm_monitor
from lsm_monitor.model.bundle import Manifest, save_bundle, stored_state
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.storage import pack, unpack
from lsm_train.calibrate import calibrate
from lsm_train.checkpoint import read_run
from lsm_train.config import RENDERED, SIMULATED, Recipe
from lsm_train.data import Picture, load_dataset, read_splits
from lsm_train.errors import RunError
from lsm_train.evaluate import evaluate
from lsm_train.fit import VAL, load_run, names_sha256
from lsm_train.layouts import find_layout, list_images
from lsm_train.rendered import render_validation_pictures
from lsm_train.splits import stems_of

_MAX_SIDE_PX = 4096  # native size: figures in a bundle are not made on shrunk pictures


def export(run_folder: Path, *, data: Path, out: Path) -> Manifest:
    """Write the best weights of a finished run as a bundle to ``out``.

    The rule of what counts as water is calibrated on the val part, which no step has trained
    on. The figures in the manifest are those of the stored, rounded weights.

    Raises:
        RunError: The run is not finished, cannot be read, or held out other pictures than the
            val part of ``data``: it may have been trained on some of them.
        DataError: The validation pictures are missing or damaged.
        BundleError: The bundle cannot be written.
    """
    run = read_run(run_folder)
    model, epoch = load_run(run)
    recipe = run.recipe
    state = stored_state(recipe.model, model)
    model.load_state_dict(unpack(pack(state)), strict=False)
    splits = read_splits(data)
    groups = {
        name: load_dataset(data, name, stems_of(splits, "val", name), _MAX_SIDE_PX)
        for name in recipe.validation
    }
    held_out = itertools.chain.from_iterable(groups.values())
    if names_sha256(held_out) != run.pictures_sha256.get(VAL):
        msg = (
            f"{data}: its val part is not what {run_folder} held out, and may have been "
            "trained on; give the data that it was trained with, or train again"
        )
        raise RunError(msg)
    if recipe.rendered is not None and recipe.rendered.validation_streets:
        groups[RENDERED] = render_validation_pictures(recipe.rendered)
    rule = calibrate(model, [picture for group in groups.values() for picture in group])
    manifest: dict[str, object] = {
        "name": recipe.name,
        "version": recipe.version,
        "classes": recipe.model.classes,
        "preprocessing": model.preprocessor.normalisation.name,
        "parts": recipe.model.model_dump(),
        "water": {
            "threshold": rule.threshold,
            "core_threshold": rule.core_threshold,
            "core_share": rule.core_share,
        },
        "trained_on": [
            {"name": name, "licence": recipe.licences[name], "pictures": count}
            for name, count in _count_pictures(recipe, data).items()
        ],
        "metrics": _metrics(model, groups, rule),
        "software": {
            "lsm-monitor": lsm_monitor.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "recipe_seed": str(run.seed),
            "recipe_epoch": str(epoch),
        },
    }
    return save_bundle(out, manifest, state)


def _count_pictures(recipe: Recipe, data: Path) -> dict[str, int]:
    """Return data set -> number of pictures that training took from it."""
    train = read_splits(data).get("train", {})
    counts = {name: len(train[name]) for name in recipe.training_datasets if name in train}
    if recipe.self_training is not None:
        name = recipe.self_training.dataset
        counts[name] = len(list_images(find_layout(data / name).images))
    if recipe.rendered is not None:
        counts[RENDERED] = recipe.rendered.streets * recipe.rendered.pictures_per_street
    if recipe.simulated is not None:
        counts[SIMULATED] = recipe.simulated.pictures
    return dict(sorted(counts.items()))


def _metrics(
    model: LsmAdapter, groups: dict[str, list[Picture]], rule: WaterRule
) -> dict[str, float | None]:
    """Return the figures on each data set's val part."""
    metrics: dict[str, float | None] = {}
    for name, pictures in groups.items():
        result = evaluate(model, pictures, water_rule=rule)
        counts = result.counts
        if counts.true_water + counts.missed_water:
            metrics[f"{name}_val_iou"] = _rounded(counts.iou)
            metrics[f"{name}_val_precision"] = _rounded(counts.precision)
            metrics[f"{name}_val_recall"] = _rounded(counts.recall)
        if result.dry_scores:
            metrics[f"{name}_val_alarm_share_0.02"] = _rounded(result.alarm_share(0.02))
    return metrics


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
