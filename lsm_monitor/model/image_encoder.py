"""What every image encoder promises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn


class ImageEncoder(Protocol):
    """A frozen encoder whose blocks take prompts.

    Attributes:
        channels: Channels of each map, finest first.
        strides: Stride of each map.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def boundaries(self) -> tuple[tuple[int, int], ...]:
        """Channels and stride behind each of the frozen stages."""
        ...

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the image embeddings, finest first."""
        ...

    def frozen_stages(self) -> list[nn.Module]:
        """Return the embedding and the stages, one after the other the whole encoder."""
        ...

    def embed_patches(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the first block sees, before positions are added."""
        ...

    def run_blocks(
        self,
        embedded: torch.Tensor,
        prompts: Sequence[torch.Tensor | None] = (),
        adapters: nn.ModuleList | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the image embeddings; prompts are added to the adapted blocks' inputs."""
        ...
