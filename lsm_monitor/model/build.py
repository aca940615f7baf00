"""A model from the names of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import torch
from torch import nn

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.small_lite import SmallLite

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class ModelParts:
    """The choice that makes a model.

    Attributes:
        image_encoder: Key of ``IMAGE_ENCODERS``.
        small_model: Key of ``SMALL_MODELS``.
        input_size_px: Side S of the square input; divisible by 32.
    """

    image_encoder: str
    small_model: str
    input_size_px: int


IMAGE_ENCODERS: Mapping[str, Callable[[], EfficientNetLite0]] = MappingProxyType(
    {"efficientnet_lite0": EfficientNetLite0}
)
SMALL_MODELS: Mapping[str, Callable[[Sequence[int]], nn.Module]] = MappingProxyType(
    {"lite": SmallLite}
)


class WaterModel(nn.Module):
    """Image encoder and small model in one: what is trained and stored.

    The daemon takes the two apart: the encoder runs on an engine, the small model in torch.
    """

    def __init__(self, image_encoder: nn.Module, small_model: nn.Module) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.small_model = small_model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) float32, normalised -> (B, 1, S/4, S/4) float32 low-res logits."""
        logits: torch.Tensor = self.small_model(self.image_encoder(images))
        return logits


def build_model(parts: ModelParts) -> WaterModel:
    """Return the model with random weights.

    Raises:
        ValueError: A part is unknown, or the input size is not divisible by 32.
    """
    size = parts.input_size_px
    if size < 32 or size % 32:  # noqa: PLR2004 - the encoder's coarsest stride
        msg = f"input_size_px must be a positive multiple of 32, got {size}"
        raise ValueError(msg)
    encoder = _look_up("image_encoder", parts.image_encoder, IMAGE_ENCODERS)()
    small_model = _look_up("small_model", parts.small_model, SMALL_MODELS)(encoder.channels)
    return WaterModel(encoder, small_model)


def _look_up(role: str, name: str, known: Mapping[str, Part]) -> Part:
    if name not in known:
        msg = f"unknown {role} {name!r}; known are {', '.join(known)}"
        raise ValueError(msg)
    return known[name]
