"""Low-rank updates of a frozen encoder (LoRA, Hu et al. 2021), as WeSAM trains them.

    W' = W + B A,  A (r, in) random, B (out, r) zero:  at the start W' = W, bit for bit

On a vision transformer they sit on the query and the value rows of every block's ``qkv``
layer, as published. A convolutional encoder has no attention; its 1x1 convolutions are the same
thing, one linear layer applied at every position, and hold nearly all of its weights (92 % of
EfficientNet-Lite0's stages). The depthwise filters between them, a few numbers per channel,
have no rank to lower, and stay as they are, like the statistics of batch norm.

Trained, ``B A`` is added into W for good (:func:`merge_low_rank`): engines see a plain encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

from lsm_monitor.model.sam_source import Attention

Layer = nn.Linear | nn.Conv2d

_WEIGHT = "weight"
_FACTORS = "parametrizations.weight.0."


class LowRank(nn.Module):
    """Adds ``B A`` to a weight whenever it is read.

    Args:
        weight: (out, in, ...) of the layer; what follows is 1.
        rank: Of the update.
        learns: Which of the equal parts of the rows get an update: all, or query and value.
    """

    def __init__(self, weight: torch.Tensor, rank: int, learns: tuple[bool, ...]) -> None:
        super().__init__()
        outputs, inputs = weight.shape[:2]
        self._learns = learns
        self.down = nn.Parameter(torch.empty(sum(learns), rank, inputs))
        self.up = nn.Parameter(torch.zeros(sum(learns), outputs // len(learns), rank))
        for part in self.down:
            nn.init.kaiming_uniform_(part, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return ``weight`` with the update, the same shape."""
        updates = iter(self.up @ self.down)
        rows = [
            next(updates) if learns else weight.new_zeros(self.up.shape[1], self.down.shape[2])
            for learns in self._learns
        ]
        return weight + torch.cat(rows).view_as(weight)


def low_rank_layers(module: nn.Module, rank: int) -> Iterator[tuple[str, Layer, LowRank]]:
    """Yield name, layer and fresh update of every layer of ``module`` that gets one.

    A layer with ``rank`` inputs or outputs or fewer gets none: nothing is low there.
    """
    is_transformer = any(isinstance(layer, Attention) for layer in module.modules())
    for name, layer in module.named_modules():
        if isinstance(layer, Attention):
            update = LowRank(layer.qkv.weight, rank, (True, False, True))
            yield f"{name}.qkv".lstrip("."), layer.qkv, update
        elif (
            isinstance(layer, nn.Conv2d)
            and layer.kernel_size == (1, 1)
            and layer.groups == 1
            and min(layer.in_channels, layer.out_channels) > rank
            and not is_transformer
        ):
            yield name, layer, LowRank(layer.weight, rank, (True,))


def add_low_rank(module: nn.Module, rank: int) -> list[nn.Parameter]:
    """Give ``module`` its updates and return what of it learns; everything else is frozen.

    Raises:
        ValueError: It has them already.
    """
    module.requires_grad_(requires_grad=False)
    learned: list[nn.Parameter] = []
    for name, layer, update in list(low_rank_layers(module, rank)):
        if parametrize.is_parametrized(layer):
            msg = f"{name} has a low-rank update already; merge it first"
            raise ValueError(msg)
        update.to(layer.weight.device)
        parametrize.register_parametrization(layer, _WEIGHT, update)
        learned += update.parameters()
    return learned


def merge_low_rank(module: nn.Module) -> None:
    """Add the updates into the weights; ``module`` is a plain one again."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, _WEIGHT):
            with torch.no_grad():
                parametrize.remove_parametrizations(layer, _WEIGHT)


def factors(module: nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return the updates of ``module`` by the names under which a bundle stores them."""
    return {
        f"{prefix}{name.replace(_FACTORS, '')}": tensor
        for name, tensor in module.state_dict().items()
        if _FACTORS in name
    }


def fresh_factors(module: nn.Module, rank: int, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return what :func:`factors` would after :func:`add_low_rank`; ``module`` stays plain."""
    return {
        f"{prefix}{name}.{key}": tensor
        for name, _, update in low_rank_layers(module, rank)
        for key, tensor in update.state_dict().items()
    }


def load_factors(
    module: nn.Module, rank: int, stored: dict[str, torch.Tensor], prefix: str = ""
) -> None:
    """Add stored updates into the weights of a plain ``module``."""
    for name, layer, update in list(low_rank_layers(module, rank)):
        update.load_state_dict(
            {key: stored[f"{prefix}{name}.{key}"] for key in update.state_dict()}
        )
        parametrize.register_parametrization(layer, _WEIGHT, update)
    merge_low_rank(module)
