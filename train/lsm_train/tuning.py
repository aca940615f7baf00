"""Tuning the image encoder itself: what adapters are compared with.

In full, every parameter of the encoder learns, more slowly than what starts at random
(``pretrained_factor``). Low-rank, only the updates of :mod:`lsm_monitor.model.low_rank` do;
they stay apart while they learn, so that a checkpoint holds nothing else of the encoder, and
are merged before the model is used.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from lsm_monitor.model.low_rank import LowRank, add_low_rank
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import FullTuningParts, LowRankTuningParts

_IMAGE_ENCODER = "encoder.image_encoder"


def prepare_tuning(model: LsmAdapter) -> None:
    """Give a pretrained encoder the updates that its tuning asks for, if any."""
    tuning = model.encoder.tuning
    if isinstance(tuning, LowRankTuningParts):
        add_low_rank(model.encoder.image_encoder, tuning.rank)


def tuned_parameters(model: LsmAdapter) -> dict[str, nn.Parameter]:
    """Return what tuning changes in the image encoder, by the names in ``model``."""
    encoder = model.encoder.image_encoder
    modules: Iterable[tuple[str, nn.Module]] = ()
    match model.encoder.tuning:
        case FullTuningParts():
            modules = [(_IMAGE_ENCODER, encoder)]
        case LowRankTuningParts():
            inside = encoder.named_modules(prefix=_IMAGE_ENCODER)
            modules = [(name, module) for name, module in inside if isinstance(module, LowRank)]
    return {
        f"{path}.{name}": parameter
        for path, module in modules
        for name, parameter in module.named_parameters()
    }
