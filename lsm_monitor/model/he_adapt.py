"""HE-Adapt: prompts for the blocks of a frozen image encoder (Sec. 3.1, Fig. 3a).

The equalised picture's high frequencies become a frequency patch embedding; the encoder's own
patch embedding, reduced by a fully-connected layer, is added; N individual MLPs, one for each
block, and one shared MLP turn the sum into what is added before block i:

    prompt_i = MLP_shared(MLP_i(FC(patch embedding) + frequency embedding)),  x <- prompt_i + x

None of it depends on what a block computes, so the encoder can be compiled as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

_REDUCTION = 32  # SAM-Adapter's: 768 / 32 = 24 inner channels on ViT-B
_CNN_INNER_CHANNELS = 24


class VitHeAdapt(nn.Module):
    """HE-Adapt for a vision transformer; 63,312 parameters on SAM ViT-B.

    Args:
        width: Channels D of the encoder's tokens.
        depth: Number of its blocks N.
        patch_px: Side of a patch.
    """

    def __init__(self, width: int, depth: int, patch_px: int) -> None:
        super().__init__()
        inner = width // _REDUCTION
        self.frequency_embedding = nn.Conv2d(3, inner, patch_px, patch_px)
        self.reduce = nn.Linear(width, inner)
        self.individual = nn.ModuleList(
            nn.Sequential(nn.Linear(inner, inner), nn.GELU()) for _ in range(depth)
        )
        self.shared = nn.Linear(inner, width)
        self.apply(_initialise)

    def forward(
        self, embedded: torch.Tensor, high_frequency: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the prompt of each block.

        Args:
            embedded: (B, h, w, D) float32, patch embedding before positions are added.
            high_frequency: (B, 3, S, S) float32.

        Returns:
            N times (B, h, w, D) float32.
        """
        frequency = self.frequency_embedding(high_frequency).permute(0, 2, 3, 1)
        inner = self.reduce(embedded) + frequency
        return [self.shared(mlp(inner)) for mlp in self.individual]


class CnnHeAdapt(nn.Module):
    """HE-Adapt for a convolutional encoder: its stages take the place of the blocks.

    The MLPs become 1x1 convolutions. Stages differ in resolution, so the sum is pooled to
    theirs, and in width, so each takes the first of the shared MLP's outputs. The shared MLP
    starts at zero: unlike a transformer's, a CNN's batch norms cannot make good for inputs
    they have never seen, and an ImageNet encoder starts as what it is.

    Args:
        embedded_channels: Channels of the encoder's stem.
        stage_inputs: Channels and stride of each stage's input, first stage first. Stages
            that start at a stride below 4 get no prompt: there are no patches yet.
    """

    def __init__(self, embedded_channels: int, stage_inputs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        inner = _CNN_INNER_CHANNELS
        self._stage_inputs = tuple(stage_inputs)
        prompted = [channels for channels, stride in stage_inputs if stride >= _PATCH_PX]
        self.frequency_embedding = nn.Conv2d(3, inner, _PATCH_PX, _PATCH_PX)
        self.reduce = nn.Conv2d(embedded_channels, inner, 1)
        self.individual = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inner, inner, 1), nn.GELU()) for _ in prompted
        )
        self.shared = nn.Conv2d(inner, max(prompted), 1)
        self.apply(_initialise)
        nn.init.zeros_(self.shared.weight)

    def forward(
        self, embedded: torch.Tensor, high_frequency: torch.Tensor
    ) -> list[torch.Tensor | None]:
        """Return the prompt of each stage, ``None`` for those without.

        Args:
            embedded: (B, C, S/2, S/2) float32, output of the stem.
            high_frequency: (B, 3, S, S) float32.

        Returns:
            (B, C_i, h_i, w_i) float32 for stage i.
        """
        frequency = self.frequency_embedding(high_frequency)
        size_hw = frequency.shape[-2:]
        inner = self.reduce(F.adaptive_avg_pool2d(embedded, size_hw)) + frequency
        prompts: list[torch.Tensor | None] = []
        mlps = iter(self.individual)
        for channels, stride in self._stage_inputs:
            if stride < _PATCH_PX:
                prompts.append(None)
                continue
            pooled = F.avg_pool2d(inner, stride // _PATCH_PX)
            prompts.append(self.shared(next(mlps)(pooled))[:, :channels])
        return prompts


_PATCH_PX = 4


def _initialise(module: nn.Module) -> None:
    """SAM-Adapter's initialisation: small prompts, but not zero."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
