"""Adapters inside the encoder's blocks (ClassWise-SAM-Adapter: Pu et al., JSTARS 2025).

Two bottlenecks for each block, here of a vision transformer:

    a = Attention(LN(x));  x <- x + a + Up(GELU(Down(a)))
    y = LN(x);             x <- x + MLP(y) + 0.5 Up(GELU(Down(y)))

The first corrects what attention has gathered, the second runs beside the MLP. Up starts at
zero, which the published code does not do: an adapted encoder starts as the frozen one. Nor
is there the third bottleneck of each block that the published code makes and never calls.

Unlike HE-Adapt's prompts they depend on what the blocks compute, so their weights are part of
a compiled encoder: a plan serves one such adapter.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

_REDUCTION = 4
_BESIDE_SCALE = 0.5
_CNN_FINEST_STRIDE = 4  # as HE-Adapt: the stages below cost most and know least


class VitBlockAdapter(nn.Module):
    """Adapters of one transformer block; 591,744 parameters on SAM ViT-B, in all 7,100,928.

    Args:
        width: Channels D of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = _bottleneck(width, width, nn.Linear)
        self.beside = _bottleneck(width, width, nn.Linear)

    def attended(self, attended: torch.Tensor) -> torch.Tensor:
        """(B, h, w, D) from the attention -> the same, corrected."""
        corrected: torch.Tensor = attended + self.attention(attended)
        return corrected

    def beside_mlp(self, normalised: torch.Tensor) -> torch.Tensor:
        """(B, h, w, D), what the MLP sees -> what is added to what it says."""
        added: torch.Tensor = _BESIDE_SCALE * self.beside(normalised)
        return added


class CnnStageAdapter(nn.Module):
    """The same for a stage of a convolutional encoder.

    A stage gathers from its surroundings and mixes channels at once, so it takes the block's
    place as a whole: the first bottleneck corrects what it has gathered, the second runs
    beside it, on its input pooled to its output's size.

    Args:
        inputs: Channels of the stage's input.
        outputs: Channels of its output.
        stride: Of the stage.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self._stride = stride
        self.gathered = _bottleneck(outputs, outputs, _pointwise)
        self.beside = _bottleneck(inputs, outputs, _pointwise)

    def extra_repr(self) -> str:
        """Return what the weights do not tell."""
        return f"stride={self._stride}"

    def forward(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return the stage's output, adapted.

        Args:
            before: (B, C, h, w) float32, the stage's input.
            after: (B, C', h / stride, w / stride) float32, its output.
        """
        pooled = before if self._stride == 1 else F.avg_pool2d(before, self._stride)
        adapted: torch.Tensor = (
            after + self.gathered(after) + _BESIDE_SCALE * self.beside(pooled)
        )
        return adapted


def vit_block_adapters(width: int, depth: int) -> nn.ModuleList:
    """Return the adapters of a vision transformer, one for each block."""
    return nn.ModuleList(VitBlockAdapter(width) for _ in range(depth))


def cnn_stage_adapters(stages: Sequence[tuple[int, int]]) -> nn.ModuleList:
    """Return the adapters of a convolutional encoder, one for each stage.

    Args:
        stages: Channels and stride of each stage's input, then of the last one's output.
            Stages whose output is finer than stride 4 get a placeholder without parameters.
    """
    adapters = nn.ModuleList()
    for (inputs, before), (outputs, after) in itertools.pairwise(stages):
        is_adapted = after >= _CNN_FINEST_STRIDE
        adapters.append(
            CnnStageAdapter(inputs, outputs, after // before) if is_adapted else nn.Identity()
        )
    return adapters


def _bottleneck(
    inputs: int, outputs: int, layer: Callable[[int, int], nn.Module]
) -> nn.Sequential:
    inner = outputs // _REDUCTION
    down, up = layer(inputs, inner), layer(inner, outputs)
    for parameter in up.parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(down, nn.GELU(), up)


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1)
