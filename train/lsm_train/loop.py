"""The training loop: set up, fit, validate.

The weights that count are an exponential moving average of the trained ones: with a few
hundred pictures single steps are noisy, their average is not. The encoder's batch norms keep
their ImageNet statistics, which a small data set could only spoil.
"""

from __future__ import annotations

import copy
import functools
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.build import ModelParts, WaterModel, build_model
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_train.config import RENDERED, OptimiserSection, Recipe
from lsm_train.data import Picture, load_dataset, read_splits
from lsm_train.errors import RecipeError, RunError
from lsm_train.evaluate import evaluate
from lsm_train.log import EpochLog, draw_curves, write_log
from lsm_train.losses import water_loss
from lsm_train.pretrained import load_imagenet_weights
from lsm_train.rendered import render_pictures
from lsm_train.samples import Source, choose, make_batch, make_sources
from lsm_train.self_training import self_label

logger = logging.getLogger(__name__)

_MAX_SIDE_PX = 768  # of a picture in memory; twice what a training step sees


@dataclass(slots=True, eq=False)
class Trainer:
    """Everything that changes while a run goes on."""

    model: WaterModel
    averaged: WaterModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator
    steps: int = 0


def fit(recipe: Recipe, *, data: Path, out: Path, seed: int) -> list[EpochLog]:
    """Train as the recipe says; leaves checkpoints, log and loss curve in ``out``.

    Raises:
        DataError: Pictures are missing or damaged; all are named before training starts.
        RecipeError: The recipe names an unknown part.
        RunError: ``out`` cannot be written.
    """
    torch.set_num_threads(recipe.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    sources, unlabelled, validation = load_pictures(recipe, data)
    trainer = set_up(recipe, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        msg = f"{out}: cannot be made ({exc.strerror}); choose another folder with --out"
        raise RunError(msg) from exc
    started_s = time.monotonic()
    log: list[EpochLog] = []
    for epoch in range(recipe.epochs):
        if recipe.self_training and epoch in recipe.self_training.label_at_epochs:
            labelled = self_label(
                trainer.averaged, unlabelled, recipe.self_training, recipe.model.input_size_px
            )
            logger.info("epoch %d: labelled %d pictures", epoch, len(labelled))
            draw = functools.partial(choose, labelled)
            fresh = Source(draw, recipe.self_training.share)
            sources = [*sources[: len(recipe.sources)], fresh]
        loss = train_epoch(trainer, sources, recipe)
        row = EpochLog(
            epoch=epoch,
            loss=round(loss, 4),
            elapsed_s=round(time.monotonic() - started_s, 1),
            **validate(trainer.averaged, validation, recipe),
        )
        logger.info("%s", row)
        is_best = row.val_iou >= max((earlier.val_iou for earlier in log), default=0.0)
        log.append(row)
        save_checkpoint(out / "last", trainer.averaged, recipe, row, seed)
        if is_best:
            save_checkpoint(out / "best", trainer.averaged, recipe, row, seed)
        write_log(out, log)
        draw_curves(out / "curves.png", log)
    return log


def load_pictures(
    recipe: Recipe, data: Path
) -> tuple[list[Source], list[Picture], list[Picture]]:
    """Return sources, unlabelled pictures and validation pictures."""
    splits = read_splits(data)
    extra = recipe.self_training.dataset if recipe.self_training else None
    labelled = sorted(recipe.training_datasets - {extra, RENDERED})
    pictures = {
        name: load_dataset(data, name, splits["train"].get(name, ()), _MAX_SIDE_PX)
        for name in labelled
    }
    if recipe.rendered is not None:
        pictures[RENDERED] = render_pictures(recipe.rendered)
    unlabelled = [] if extra is None else load_dataset(data, extra, None, _MAX_SIDE_PX)
    validation = [
        picture
        for name in recipe.validation
        for picture in load_dataset(data, name, splits["val"].get(name, ()), _MAX_SIDE_PX)
    ]
    counts = {name: len(group) for name, group in pictures.items()}
    logger.info("train %s, unlabelled %d, val %d", counts, len(unlabelled), len(validation))
    return make_sources(recipe, pictures), unlabelled, validation


def set_up(recipe: Recipe, seed: int) -> Trainer:
    """Return model, averaged model, optimiser and schedule."""
    try:
        model = build_model(ModelParts(**recipe.model.model_dump()))
    except ValueError as exc:
        msg = f"recipe {recipe.name!r}: model: {exc}"
        raise RecipeError(msg) from exc
    if isinstance(model.image_encoder, EfficientNetLite0):
        load_imagenet_weights(model.image_encoder)
    freeze(model, recipe.frozen_stages)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in the stubs
    settings = recipe.optimiser
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [p for p in model.image_encoder.parameters() if p.requires_grad],
                "lr": settings.encoder_learning_rate,
            },
            {"params": list(model.small_model.parameters()), "lr": settings.learning_rate},
        ],
        weight_decay=settings.weight_decay,
    )
    total = recipe.epochs * recipe.steps_per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_factor(step, total, settings)
    )
    averaged = copy.deepcopy(model).eval()
    return Trainer(model, averaged, optimiser, schedule, np.random.default_rng(seed))


def freeze(model: WaterModel, stages: int) -> None:
    """Keep the encoder's stem and first ``stages`` as they are; the rest stays trainable."""
    encoder = model.image_encoder
    assert isinstance(encoder, EfficientNetLite0)  # noqa: S101 - the only encoder there is
    encoder.stem.requires_grad_(requires_grad=stages == 0)
    for index, blocks in enumerate(encoder.stages):
        blocks.requires_grad_(requires_grad=index >= stages)


def learning_rate_factor(step: int, total_steps: int, settings: OptimiserSection) -> float:
    """Return the factor on the learning rates: linear warm-up, then cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def train_epoch(trainer: Trainer, sources: Sequence[Source], recipe: Recipe) -> float:
    """Take the epoch's steps and return their mean loss."""
    trainer.model.train()
    trainer.model.image_encoder.eval()  # frozen statistics, see the module's docstring
    total = 0.0
    for images, labels in batches_ahead(trainer.rng, sources, recipe):
        # 0.95 s a step instead of 1.35 s in float32: 16 pictures of 384 px, two cores.
        with torch.autocast("cpu", torch.bfloat16):
            logits = trainer.model(images)
        logits = F.interpolate(
            logits.float(), labels.shape[-2:], mode="bilinear", align_corners=False
        )
        loss = water_loss(logits, labels)
        trainer.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs
        nn.utils.clip_grad_norm_(trainer.model.parameters(), 5.0)
        trainer.optimiser.step()
        trainer.schedule.step()
        trainer.steps += 1
        update_average(trainer, recipe.optimiser.ema_decay)
        total += float(loss.detach())
    return total / recipe.steps_per_epoch


def batches_ahead(
    rng: np.random.Generator, sources: Sequence[Source], recipe: Recipe
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the epoch's batches; each is made while the one before is trained on.

    One thread makes them one after the other, so the same seed gives the same batches.
    """
    make = functools.partial(
        make_batch,
        sources,
        batch_size=recipe.batch_size,
        size_px=recipe.train_size_px,
        rng=rng,
    )
    with ThreadPoolExecutor(1, "batches") as pool:
        upcoming = pool.submit(make)
        for _ in range(recipe.steps_per_epoch - 1):
            batch = upcoming.result()
            upcoming = pool.submit(make)
            yield batch
        yield upcoming.result()


def update_average(trainer: Trainer, decay: float) -> None:
    """Move the averaged weights towards the trained ones; quickly at first."""
    decay = min(decay, (1 + trainer.steps) / (10 + trainer.steps))
    current = trainer.model.state_dict()
    for name, average in trainer.averaged.state_dict().items():
        if average.is_floating_point():
            average.lerp_(current[name], 1.0 - decay)
        else:
            average.copy_(current[name])


def validate(
    model: WaterModel, pictures: Sequence[Picture], recipe: Recipe
) -> dict[str, float]:
    """Return the scores of :class:`EpochLog`; what is undefined scores 0."""
    result = evaluate(model, pictures, input_size_px=recipe.model.input_size_px, threshold=0.5)
    scores = {
        "val_iou": result.counts.iou,
        "val_precision": result.counts.precision,
        "val_recall": result.counts.recall,
        "val_alarm_share": result.alarm_share(0.02),
    }
    return {name: round(score or 0.0, 4) for name, score in scores.items()}


def save_checkpoint(
    path: Path, model: WaterModel, recipe: Recipe, row: EpochLog, seed: int
) -> None:
    """Write ``path``.safetensors and ``path``.json."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, path.with_suffix(".safetensors"))
    about = {"seed": seed, "epoch": asdict(row), "recipe": recipe.model_dump(mode="json")}
    path.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
