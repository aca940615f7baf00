"""What every small model promises: the task-specific half of the large-small co-adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

DRY, WATER, IGNORED = 0, 1, 255


class SmallModel(nn.Module, ABC):
    """A network that finds water on its own; its logits become the spatial prompt.

    Its loss belongs to it (the paper's L_small, Eq. 8): networks with side outputs or boxes
    are trained on more than the logits that they give to the large model. Nothing here is
    ever stretched to the full range picture by picture: that would invent water on dry roads.
    """

    # Whether gradients survive bfloat16. With random weights and batch norm they do not: their
    # cosine with float32's is 0.05 for SINet-V2 and 0.47 for U2-NetP, 0.985 for `lite`.
    trains_in_bf16: ClassVar[bool] = False

    @abstractmethod
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return water logits.

        Args:
            images: (B, 3, S, S) float32, normalised RGB; S divisible by 32.

        Returns:
            (B, 1, h, w) float32, unbounded.
        """

    @abstractmethod
    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the training loss of a batch: scalar float32, finite on dry pictures too.

        Args:
            images: As in :meth:`forward`.
            labels: (B, S, S) uint8 of ``DRY``, ``WATER`` and ``IGNORED``.
        """

    def pretrained_parameters(self) -> Sequence[nn.Parameter]:
        """Return the parameters that start pretrained and go on learning, more slowly."""
        return ()

    def frozen_parameters(self) -> Sequence[nn.Parameter]:
        """Return the parameters that are never trained."""
        return ()
