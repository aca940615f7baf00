"""The training loop of one stage: epochs, averaging, validation, going on after a break.

The weights that count are an exponential moving average of the trained ones: with a few
hundred pictures single steps are noisy, their average is not. All chance comes from
(seed, process, stage, epoch), so an interrupted run goes on exactly as if nothing had happened.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.preprocess import Preprocessor
from lsm_train.checkpoint import (
    Progress,
    Run,
    flatten_optimiser,
    load_progress,
    restore_optimiser,
    save_checkpoint,
    save_progress,
    writing_to,
)
from lsm_train.class_loss import ClassTeaching
from lsm_train.config import StageSection
from lsm_train.data import Picture
from lsm_train.distributed import Process, broadcast_flag, sum_over_processes
from lsm_train.errors import RunError
from lsm_train.evaluate import evaluate
from lsm_train.log import EpochLog, StageBoard, write_log
from lsm_train.optimise import learning_rate_factor, make_optimiser
from lsm_train.samples import Batch, Source, batches_ahead
from lsm_train.stages import BRANCH, Stage, StageName, trained_state

logger = logging.getLogger(__name__)

_AVERAGED = "averaged."
_TRAINED = "trained."

Sources = Callable[[int, LsmAdapter], Sequence[Source]]


@dataclass(slots=True, eq=False)
class StageTrainer:
    """Everything that changes while a stage is trained.

    Attributes:
        stage: The model with its loss.
        step_module: What is called for a loss: ``stage``, or its distributed wrapper.
        averaged: The model whose weights count.
        optimiser: Of the stage's parameters.
        steps: Updates so far.
        log: Epochs so far.
    """

    stage: Stage
    step_module: nn.Module
    averaged: LsmAdapter
    optimiser: torch.optim.Optimizer
    steps: int
    log: tuple[EpochLog, ...]


def train_stage(
    run: Run,
    name: StageName,
    model: LsmAdapter,
    *,
    sources: Sources,
    validation: Sequence[Picture],
    process: Process,
) -> None:
    """Train a stage to its end; goes on where an earlier call was interrupted.

    Args:
        run: Whose folder gets checkpoints, log and curves.
        name: The stage.
        model: Filled with what earlier stages have learned. Left in an undefined state: the
            result is the stage's checkpoint.
        sources: Returns the sources of an epoch, given the averaged model.
        validation: Pictures that the best epoch is chosen by.
        process: This process.

    Raises:
        RunError: Loss or gradients are no longer finite, the stage's saved state cannot be
            used, or its folder cannot be written.
    """
    settings: StageSection = getattr(run.recipe.stages, name)
    folder = run.folder / name
    with writing_to(run.folder):
        folder.mkdir(exist_ok=True)
    saved = load_progress(folder)
    if saved is not None and saved.is_finished:
        logger.info("stage %s is finished", name)
        return
    trainer = _set_up(name, model, settings, process, ClassTeaching.of(run.recipe))
    if saved is not None:
        _restore(trainer, saved)
        logger.info("stage %s goes on after epoch %d", name, len(saved.log) - 1)
    board = StageBoard(folder) if process.is_main else None
    earlier_s = trainer.log[-1].elapsed_s if trainer.log else 0.0
    started_s = time.monotonic() - earlier_s
    for epoch in range(len(trainer.log), settings.epochs):
        loss = _train_epoch(trainer, run, settings, sources(epoch, trainer.averaged), process)
        is_over = False
        if process.is_main:
            row = EpochLog(
                epoch=epoch,
                steps=trainer.steps,
                learning_rate=trainer.optimiser.param_groups[0]["lr"],
                loss=round(loss, 5),
                elapsed_s=round(time.monotonic() - started_s, 1),
                **_validate(trainer.averaged, validation, name),
            )
            logger.info("%s %s", name, row)
            with writing_to(run.folder):
                if board is not None:
                    board.add(row)
                is_over = _finish_epoch(run, trainer, row, settings)
        if broadcast_flag(process, flag=is_over):
            return


def _set_up(
    name: StageName,
    model: LsmAdapter,
    settings: StageSection,
    process: Process,
    teaching: ClassTeaching | None = None,
) -> StageTrainer:
    stage = Stage(name, model, settings.losses, settings.prompt_noise, teaching)
    stage.to(process.device)
    stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
    step_module: nn.Module = stage
    if process.count > 1:
        # A spatial prompt of one kind leaves the encoder's other prompts without gradient.
        step_module = DistributedDataParallel(stage, find_unused_parameters=True)
    optimiser = make_optimiser(stage, settings.optimiser)
    averaged = copy.deepcopy(model).eval()
    return StageTrainer(stage, step_module, averaged, optimiser, steps=0, log=())


def _train_epoch(
    trainer: StageTrainer,
    run: Run,
    settings: StageSection,
    sources: Sequence[Source],
    process: Process,
) -> float:
    """Take the epoch's steps and return their mean loss over all processes."""
    recipe, stage = run.recipe, trainer.stage
    epoch = trainer.steps // settings.steps_per_epoch
    entropy = [run.seed, process.rank, zlib.crc32(stage.name.encode()), epoch]
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
    stage.set_training_mode()
    preprocessor = stage.model.preprocessor
    batches = batches_ahead(
        sources,
        Preprocessor(
            recipe.train_size_px, preprocessor.normalisation, preprocessor.equalisation
        ),
        batch_size=settings.batch_size,
        batches=settings.steps_per_epoch * settings.accumulate,
        rng=np.random.default_rng(entropy),
    )
    total = 0.0
    for _ in track(
        range(settings.steps_per_epoch),
        f"{stage.name} {epoch + 1}/{settings.epochs}",
        console=Console(stderr=True),
        transient=True,
        disable=not (process.is_main and sys.stderr.isatty()),
    ):
        factor = learning_rate_factor(
            trainer.steps, settings.epochs * settings.steps_per_epoch, settings.optimiser
        )
        for group in trainer.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        trainer.optimiser.zero_grad()
        for index in range(settings.accumulate):
            total += (
                _backward(
                    trainer,
                    next(batches),
                    run,
                    process,
                    is_last=index == settings.accumulate - 1,
                )
                / settings.accumulate
            )
        learned = [p for p in stage.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(learned, settings.optimiser.max_gradient_norm)
        # A finite loss may have gradients that are not: one step, and every weight is NaN.
        _require_finite(trainer, "norm of its gradients", float(norm))
        trainer.optimiser.step()
        stage.finish_step()
        trainer.steps += 1
        _update_average(trainer, settings.ema_decay)
    mean = torch.tensor(total / settings.steps_per_epoch, device=process.device)
    sum_over_processes(mean)
    return float(mean) / process.count


def _backward(
    trainer: StageTrainer, batch: Batch, run: Run, process: Process, *, is_last: bool
) -> float:
    """Add a batch's gradients and return its loss; processes agree after the last one."""
    settings: StageSection = getattr(run.recipe.stages, trainer.stage.name)
    module = trainer.step_module
    waits = isinstance(module, DistributedDataParallel) and not is_last
    device = process.device
    with module.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]  # DDP's
        # 0.7 of the time of float32: 16 pictures of 384 px, EfficientNet-Lite0, two cores.
        is_bf16 = run.recipe.precision == "bf16" and trainer.stage.trains_in_bf16
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
            loss = module(
                batch.images.to(device), batch.equalised.to(device), batch.labels.to(device)
            )
        (loss / settings.accumulate).backward()
    value = float(loss.detach())
    _require_finite(trainer, "loss", value)
    return value


def _require_finite(trainer: StageTrainer, name: str, value: float) -> None:
    if not math.isfinite(value):
        msg = (
            f"stage {trainer.stage.name}, step {trainer.steps}: the {name} is {value}; lower "
            "optimiser.learning_rate, or use precision: fp32"
        )
        raise RunError(msg)


def _update_average(trainer: StageTrainer, decay: float) -> None:
    """Move the averaged weights towards the trained ones; quickly at first."""
    decay = min(decay, (1 + trainer.steps) / (10 + trainer.steps)) if decay else 0.0
    current = trained_state(trainer.stage.name, trainer.stage.model)
    averages = trained_state(trainer.stage.name, trainer.averaged)
    for name, average in averages.items():
        if average.is_floating_point():
            average.lerp_(current[name], 1.0 - decay)
        else:
            average.copy_(current[name])


def _validate(
    model: LsmAdapter, pictures: Sequence[Picture], name: StageName
) -> dict[str, float | None]:
    """Return the scores of :class:`EpochLog`."""
    result = evaluate(model, pictures, water_rule=WaterRule.plain(), branch=BRANCH[name])
    counts = result.counts
    # Without water any find is wrong: an IoU of 0 or none, by which no epoch is the best.
    has_water = counts.true_water + counts.missed_water > 0
    scores = {
        "val_iou": counts.iou if has_water else None,
        "val_precision": counts.precision,
        "val_recall": counts.recall,
        "val_alarm_share": result.alarm_share(0.02),
    }
    return {key: None if score is None else round(score, 4) for key, score in scores.items()}


def _finish_epoch(
    run: Run, trainer: StageTrainer, row: EpochLog, settings: StageSection
) -> bool:
    """Write what the epoch leaves; return whether the stage is over."""
    name = trainer.stage.name
    folder = run.folder / name
    trainer.log = (*trainer.log, row)
    score = row.val_iou or 0.0
    top = max(trainer.log, key=lambda epoch: epoch.val_iou or 0.0)  # the first of equals
    save_checkpoint(folder / "last", name, trainer.averaged, row)
    if score == (top.val_iou or 0.0):  # of equals, the one that has trained longest
        save_checkpoint(folder / "best", name, trainer.averaged, row)
    patience = settings.patience_epochs
    has_stalled = (
        patience is not None and row.val_iou is not None and row.epoch - top.epoch >= patience
    )
    is_over = has_stalled or len(trainer.log) == settings.epochs
    write_log(folder, trainer.log)
    tensors = {
        **_prefixed(_TRAINED, trained_state(name, trainer.stage.model)),
        **_prefixed(_AVERAGED, trained_state(name, trainer.averaged)),
        **flatten_optimiser(trainer.optimiser),
    }
    save_progress(folder, Progress(tensors, trainer.steps, trainer.log, is_over))
    return is_over


def _restore(trainer: StageTrainer, saved: Progress) -> None:
    for prefix, model in (
        (_TRAINED, trainer.stage.model),
        (_AVERAGED, trainer.averaged),
    ):
        state = {
            key.removeprefix(prefix): value
            for key, value in saved.tensors.items()
            if key.startswith(prefix)
        }
        model.load_state_dict(state, strict=False)
    restore_optimiser(trainer.optimiser, saved.tensors)
    trainer.steps = saved.steps
    trainer.log = saved.log


def _prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}
