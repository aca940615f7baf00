"""The optimiser of a stage and its learning rate."""

from __future__ import annotations

import math

import torch

from lsm_train.config import OptimiserSection
from lsm_train.stages import Stage


def make_optimiser(stage: Stage, settings: OptimiserSection) -> torch.optim.Optimizer:
    """Return the optimiser of what the stage learns."""
    learned = [p for p in stage.parameters() if p.requires_grad]
    rate, decay = settings.learning_rate, settings.weight_decay
    match settings.kind:
        case "adamw":
            return torch.optim.AdamW(learned, rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(learned, rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(learned, rate, momentum=0.9, weight_decay=decay)


def learning_rate_factor(step: int, total_steps: int, settings: OptimiserSection) -> float:
    """Return the factor on the learning rates: linear warm-up, then cosine decay."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    progress = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    floor = settings.final_learning_rate / settings.learning_rate
    return floor + (1.0 - floor) * cosine
