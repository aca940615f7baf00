"""From a training run to a bundle the daemon can load."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

import lsm_monitor
from lsm_monitor.model.build import ModelParts, WaterModel, build_model
from lsm_monitor.model.bundle import Manifest, save_bundle
from lsm_train.config import RENDERED, Recipe
from lsm_train.data import Picture, load_dataset, read_splits
from lsm_train.errors import RunError
from lsm_train.evaluate import calibrate, evaluate

_MAX_SIDE_PX = 4096  # native size: figures in a bundle are not made on shrunk pictures


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """The best weights of a run, and how they came about."""

    model: WaterModel
    recipe: Recipe
    seed: int
    epoch: int


def export(run: Path, *, data: Path, out: Path) -> Manifest:
    """Write the best checkpoint of ``run`` as a bundle to ``out``.

    The threshold is calibrated on the val part, which no step has trained on. The figures in
    the manifest are those of the stored, rounded weights.

    Raises:
        RunError: The run has no usable checkpoint.
        DataError: The validation pictures are missing or damaged.
        BundleError: The bundle cannot be written.
    """
    checkpoint = load_checkpoint(run)
    recipe = checkpoint.recipe
    model = round_weights(checkpoint.model)
    size_px = recipe.model.input_size_px
    splits = read_splits(data)
    groups = {
        name: load_dataset(data, name, splits["val"].get(name, ()), _MAX_SIDE_PX)
        for name in recipe.validation
    }
    everything = [picture for group in groups.values() for picture in group]
    threshold = calibrate(model, everything, input_size_px=size_px)
    manifest: dict[str, object] = {
        "name": recipe.name,
        "version": recipe.version,
        "classes": ("water",),
        "input_size_px": size_px,
        "parts": {
            "image_encoder": recipe.model.image_encoder,
            "small_model": recipe.model.small_model,
        },
        "threshold": threshold,
        "trained_on": [
            {"name": name, "licence": recipe.licences[name], "pictures": count}
            for name, count in _count_pictures(recipe, data).items()
        ],
        "metrics": _metrics(model, groups, size_px, threshold),
        "software": {
            "lsm-monitor": lsm_monitor.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "recipe_seed": str(checkpoint.seed),
            "recipe_epoch": str(checkpoint.epoch),
        },
    }
    return save_bundle(out, manifest, model.state_dict())


def load_checkpoint(run: Path) -> Checkpoint:
    """Return the best checkpoint of a run.

    Raises:
        RunError: It is missing or damaged.
    """
    about_path = run / "best.json"
    try:
        about = json.loads(about_path.read_text(encoding="utf-8"))
        recipe = Recipe.model_validate(about["recipe"])
        model = build_model(ModelParts(**recipe.model.model_dump()))
        model.load_state_dict(safetensors.torch.load_file(run / "best.safetensors"))
        return Checkpoint(model.eval(), recipe, about["seed"], about["epoch"]["epoch"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as exc:
        msg = f"{run}: holds no usable checkpoint 'best' ({exc}); run lsm-train fit"
        raise RunError(msg) from exc


def round_weights(model: WaterModel) -> WaterModel:
    """Round the weights as a bundle stores them."""
    state = {
        name: tensor.half().float() if tensor.ndim == 4 else tensor  # noqa: PLR2004
        for name, tensor in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def _count_pictures(recipe: Recipe, data: Path) -> dict[str, int]:
    """Return data set -> number of pictures that training took from it."""
    train = read_splits(data)["train"]
    counts = {name: len(train[name]) for name in recipe.training_datasets if name in train}
    if recipe.self_training is not None:
        name = recipe.self_training.dataset
        counts[name] = sum(1 for _ in (data / name / "images").iterdir())
    if recipe.rendered is not None:
        counts[RENDERED] = recipe.rendered.streets * recipe.rendered.pictures_per_street
    return dict(sorted(counts.items()))


def _metrics(
    model: WaterModel, groups: dict[str, list[Picture]], size_px: int, threshold: float
) -> dict[str, float | None]:
    """Return the figures on each data set's val part."""
    metrics: dict[str, float | None] = {}
    for name, pictures in groups.items():
        result = evaluate(model, pictures, input_size_px=size_px, threshold=threshold)
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
