"""How a bundle stores tensors: weights as 8-bit integers with a scale for each output channel.

A quarter of float32's size. Everything that is no weight of a convolution or linear layer keeps
its type: the variances of batch norm would vanish.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

_SCALE = ".scale"
_LEVELS = 127


def pack(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors to store: int8 weights, and their scales as ``NAME.scale``."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if not _is_weight(name, tensor):
            packed[name] = tensor.contiguous()
            continue
        rows = tensor.detach().float().flatten(1)
        # Scales of 8 significant bits: multiplied by 127 they are exact in float32, so storing
        # what was loaded gives the same file.
        scale = (rows.abs().amax(1) / _LEVELS).bfloat16().float()
        scale[scale == 0.0] = 1.0
        levels = (rows / scale[:, None]).round().clamp(-_LEVELS, _LEVELS)
        packed[name] = levels.to(torch.int8).view(tensor.shape)
        packed[name + _SCALE] = scale
    return packed


def unpack(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo :func:`pack`, but for the rounding: weights become float32.

    Raises:
        ValueError: A weight has no scale, or one of another length or kind.
    """
    state: dict[str, torch.Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(_SCALE) and name.removesuffix(_SCALE) in packed:
            continue
        if tensor.dtype != torch.int8:
            state[name] = tensor
            continue
        scale = packed.get(name + _SCALE)
        if scale is None or not _fits(scale, tensor):
            msg = f"{name} has no scale for each of its channels"
            raise ValueError(msg)
        state[name] = (tensor.float().flatten(1) * scale[:, None]).view(tensor.shape)
    return state


def _fits(scale: torch.Tensor, levels: torch.Tensor) -> bool:
    """Return whether these are what :func:`pack` makes of a weight."""
    return levels.ndim > 1 and scale.shape == levels.shape[:1] and scale.dtype == torch.float32


def _is_weight(name: str, tensor: torch.Tensor) -> bool:
    return name.endswith(".weight") and tensor.ndim > 1
