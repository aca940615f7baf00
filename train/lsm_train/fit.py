"""A training run from the first picture to the contact sheet."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from lsm_monitor.errors import WeightsError
from lsm_monitor.model.build import build_model
from lsm_monitor.model.low_rank import merge_low_rank
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.prompt_matcher import StageMatchers
from lsm_monitor.model.sam_vit import SamVit
from lsm_train.checkpoint import (
    Run,
    load_checkpoint,
    load_progress,
    open_run,
    read_run,
    writing_to,
)
from lsm_train.class_loss import WATER_ALONE, ClassTeaching, class_frequencies
from lsm_train.config import RENDERED, SIMULATED, Recipe
from lsm_train.contact_sheet import draw_contact_sheet
from lsm_train.data import Picture, load_dataset, read_splits, with_dry_roads
from lsm_train.distributed import DeviceName, Process, joined_processes, wait_for_all
from lsm_train.errors import RecipeError, RunError
from lsm_train.loop import train_stage
from lsm_train.pretrained import load_pretrained_weights
from lsm_train.rendered import render_pictures
from lsm_train.samples import Source, choose, make_sources
from lsm_train.self_training import read_labels, self_label, write_labels
from lsm_train.simulated import simulate_pictures
from lsm_train.splits import stems_of
from lsm_train.stages import StageName
from lsm_train.tuning import prepare_tuning

logger = logging.getLogger(__name__)

CONTACT_SHEET_FILE = "contact_sheet.png"
VAL = "val"
_MIN_MEMORY_PX = 768


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Everything that a run looks at.

    Attributes:
        labelled: Training pictures by data set.
        unlabelled: Pictures for self-training.
        validation: Pictures that are never trained on.
    """

    labelled: Mapping[str, Sequence[Picture]]
    unlabelled: Sequence[Picture]
    validation: Sequence[Picture]

    @property
    def sha256(self) -> dict[str, str]:
        """Digest of the pictures' names, by part."""
        return {
            "train": names_sha256(itertools.chain.from_iterable(self.labelled.values())),
            "unlabelled": names_sha256(self.unlabelled),
            VAL: names_sha256(self.validation),
        }


def names_sha256(pictures: Iterable[Picture]) -> str:
    """Return a digest of the pictures' data sets and names, in any order."""
    names = sorted(f"{picture.dataset}/{picture.name}" for picture in pictures)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def fit(
    recipe: Recipe,
    *,
    data: Path,
    out: Path,
    seed: int,
    reuse: Path | None = None,
    device: DeviceName = "auto",
) -> None:
    """Train as the recipe says; goes on with a run that was interrupted.

    Args:
        recipe: What to do.
        data: Folder of data sets.
        out: Folder of the run.
        seed: Of everything left to chance.
        reuse: Folder of another run with the same seed, whose finished stages ``small`` and
            ``large`` are taken over where this recipe asks for the same: comparing prompts
            does not need them trained anew.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        DataError: Pictures are missing or damaged; all are named before training starts.
        RecipeError: The recipe names an unknown part.
        RunError: ``out`` cannot be used, or training failed.
    """
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(1)
    with joined_processes(device) as process:
        pictures = load_pictures(recipe, data)
        run = Run(out, recipe, seed, pictures.sha256)
        if process.is_main:
            open_run(out, recipe, seed, pictures.sha256)
            if reuse is not None:
                _take_over(reuse, run)
        wait_for_all(process)
        for name in run.stages:
            model = _build(recipe, seed)
            _tell_frequencies(model, recipe, pictures)
            for earlier in run.stages[: run.stages.index(name)]:
                load_checkpoint(out, earlier, model)
            sources = _Sources(run, name, pictures, process)
            train_stage(
                run,
                name,
                model,
                sources=sources,
                validation=pictures.validation,
                process=process,
            )
            wait_for_all(process)
        if process.is_main:
            model, _ = load_run(run)
            sheet, rule = out / CONTACT_SHEET_FILE, WaterRule.plain()
            with writing_to(out):
                draw_contact_sheet(sheet, model, pictures.validation, water_rule=rule)


def load_run(run: Run) -> tuple[LsmAdapter, int]:
    """Return a finished run's model, in evaluation mode, and the best epoch of its last stage.

    Low-rank updates of its encoder are merged.

    Raises:
        RunError: A stage is missing, damaged or was interrupted.
    """
    model = _build(run.recipe, run.seed)
    epoch = 0
    for name in run.stages:
        epoch = load_checkpoint(run.folder, name, model).epoch
        progress = load_progress(run.folder / name)
        if progress is None or not progress.is_finished:
            msg = f"{run.folder}: stage {name} is not finished; run lsm-train fit again"
            raise RunError(msg)
    merge_low_rank(model.encoder.image_encoder)
    return model.eval(), epoch


def load_pictures(recipe: Recipe, data: Path) -> Pictures:
    """Read everything that the recipe names.

    Raises:
        DataError: Pictures are missing or damaged; all are named.
    """
    # A zoom to half the picture still sees real pixels, and validation what the daemon sees.
    side_px = max(_MIN_MEMORY_PX, 2 * recipe.train_size_px, recipe.model.input_size_px)
    splits = read_splits(data)
    extra = recipe.self_training.dataset if recipe.self_training else None
    labelled = {
        name: load_dataset(data, name, stems_of(splits, "train", name), side_px)
        for name in sorted(recipe.training_datasets - {extra, RENDERED, SIMULATED})
    }
    for name in recipe.classes.dry_roads:
        labelled[name] = [with_dry_roads(picture) for picture in labelled[name]]
    if recipe.rendered is not None:
        labelled[RENDERED] = render_pictures(recipe.rendered)
    if recipe.simulated is not None:
        labelled[SIMULATED] = simulate_pictures(recipe.simulated, labelled)
    unlabelled = [] if extra is None else load_dataset(data, extra, None, side_px)
    validation = [
        picture
        for name in recipe.validation
        for picture in load_dataset(data, name, stems_of(splits, "val", name), side_px)
    ]
    counts = {name: len(group) for name, group in labelled.items()}
    logger.info("train %s, unlabelled %d, val %d", counts, len(unlabelled), len(validation))
    return Pictures(labelled, unlabelled, validation)


def _tell_frequencies(model: LsmAdapter, recipe: Recipe, pictures: Pictures) -> None:
    """Give matchers between the encoder's stages their first semantic map."""
    if isinstance(model.encoder.adapter, StageMatchers):
        teaching = ClassTeaching.of(recipe) or WATER_ALONE
        labelled = itertools.chain.from_iterable(pictures.labelled.values())
        model.encoder.adapter.frequencies.copy_(class_frequencies(labelled, teaching))


class _Sources:
    """Sources of each epoch of a stage: the recipe's, later with self-labelled pictures."""

    def __init__(
        self,
        run: Run,
        stage: StageName,
        pictures: Pictures,
        process: Process,
    ) -> None:
        self._settings = run.recipe.self_training
        self._small_is_ready = stage != "small"
        # Beside the small model: the later stages learn from the same labels.
        self._labels = (
            run.folder / "small" / f"{'final' if self._small_is_ready else 'early'}_labels.npz"
        )
        self._pictures = pictures
        self._process = process
        self._sources = make_sources(run.recipe, pictures.labelled)
        self._extra: Source | None = None

    def __call__(self, epoch: int, model: LsmAdapter) -> Sequence[Source]:
        settings = self._settings
        if settings is None:
            return self._sources
        if self._extra is None and (self._small_is_ready or epoch >= settings.from_epoch):
            if self._process.is_main and not self._labels.exists():
                labelled = self_label(model, self._pictures.unlabelled, settings)
                with writing_to(self._labels.parent):
                    write_labels(self._labels, labelled)
                logger.info("labelled %d pictures", len(labelled))
            wait_for_all(self._process)
            labelled = read_labels(self._labels, self._pictures.unlabelled)
            self._extra = Source(functools.partial(choose, labelled), settings.share)
        return self._sources if self._extra is None else [*self._sources, self._extra]


def _build(recipe: Recipe, seed: int) -> LsmAdapter:
    """Return the model as it is before training."""
    torch.manual_seed(seed)
    try:
        model = build_model(recipe.model)
        encoder = model.encoder.image_encoder
        if isinstance(encoder, SamVit) and recipe.train_size_px != recipe.model.input_size_px:
            msg = "SAM's encoder has one size: train_size_px must equal model.input_size_px"
            raise RecipeError(msg)
        load_pretrained_weights(recipe.model, model)
        prepare_tuning(model)
    except ValueError as exc:
        msg = f"recipe {recipe.name!r}: model: {exc}"
        raise RecipeError(msg) from exc
    except WeightsError as exc:
        msg = f"recipe {recipe.name!r}: {exc}"
        raise RecipeError(msg) from exc
    if recipe.checkpoint_blocks:
        encoder = model.encoder.image_encoder
        if not isinstance(encoder, SamVit):
            msg = f"recipe {recipe.name!r}: checkpoint_blocks: only SAM encoders can do that"
            raise RecipeError(msg)
        encoder.checkpoint_blocks = True
    return model


def _take_over(source: Path, run: Run) -> None:
    """Copy the finished stages that both recipes ask for in the same words."""
    other = read_run(source)
    if other.seed != run.seed:
        msg = f"{source}: was run with seed {other.seed}, not {run.seed}; choose that of --seed"
        raise RunError(msg)
    if other.pictures_sha256 != run.pictures_sha256:
        msg = f"{source}: was run on other pictures or another split; train without --reuse"
        raise RunError(msg)
    for name in ("small", "large"):
        if not _is_same_stage(other.recipe, run.recipe, name):
            continue
        progress = load_progress(source / name)
        target = run.folder / name
        if progress is not None and progress.is_finished and not target.exists():
            # In one step: half a copy would be taken for a stage that has begun.
            fresh = run.folder / f".{name}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            with writing_to(run.folder):
                shutil.copytree(source / name, fresh)
                fresh.rename(target)
            logger.info("took over stage %s from %s", name, source)


def _is_same_stage(one: Recipe, other: Recipe, name: str) -> bool:
    """Whether a stage does the same in both recipes."""
    sections = {"stages", "model", "name", "version"}
    if name == "small":  # it knows water alone
        sections.add("classes")
    if one.model_dump(exclude=sections) != other.model_dump(exclude=sections):
        return False
    stages, parts = [name], []
    if name == "large":
        parts += ["encoder_adapter", "block_adapters", "encoder_tuning", "decoder"]
    if name == "small" or one.self_training is not None:  # whose labels teach the large model
        stages.append("small")
        parts.append("small_model")
    if any(getattr(one.stages, key) != getattr(other.stages, key) for key in stages):
        return False
    keys = ("image_encoder", "input_size_px", *parts)
    return all(getattr(one.model, key) == getattr(other.model, key) for key in keys)
