"""The optimiser of a stage and its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch

from lsm_monitor.model.parts import FullTuningParts
from lsm_train.config import OptimiserSection
from lsm_train.stages import Stage


def make_optimiser(stage: Stage, settings: OptimiserSection) -> torch.optim.Optimizer:
    """Return the optimiser of what the stage learns; pretrained layers in a group of their own.

    Each group remembers its full learning rate as ``base``.
    """
    model = stage.model
    small_model = model.head.small_model
    pretrained = {id(p) for p in small_model.pretrained_parameters()} if small_model else set()
    if isinstance(model.encoder.tuning, FullTuningParts):
        pretrained |= {id(p) for p in model.encoder.image_encoder.parameters()}
    learned = [p for p in stage.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in learned if (id(p) in pretrained) == is_pretrained],
            "base": settings.learning_rate * factor,
        }
        for is_pretrained, factor in ((False, 1.0), (True, settings.pretrained_factor))
    ]
    return optimiser_of([group for group in groups if group["params"]], settings)


def optimiser_of(
    groups: list[dict[str, Any]], settings: OptimiserSection
) -> torch.optim.Optimizer:
    """Return the optimiser of groups that each have ``params`` and ``base``."""
    rate, decay = settings.learning_rate, settings.weight_decay
    match settings.kind:
        case "adamw":
            return torch.optim.AdamW(groups, rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(groups, rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(groups, rate, momentum=0.9, weight_decay=decay)


def learning_rate_factor(step: int, total_steps: int, settings: OptimiserSection) -> float:
    """Return the factor on the learning rates: linear warm-up, then cosine decay."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    floor = settings.final_learning_rate / settings.learning_rate
    return floor + (1.0 - floor) * cosine
