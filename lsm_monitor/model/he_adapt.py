"""HE-Adapt: prompts for the blocks of a frozen image encoder (Sec. 3.1, Fig. 3a).

The equalised picture's high frequencies become a frequency patch embedding; the encoder's own
patch embedding, reduced by a fully-connected layer, is added; N individual MLPs, one for each
block, and one shared MLP turn the sum into what is added before block i:

    prompt_i = MLP_shared(MLP_i(FC(patch embedding) + frequency embedding)),  x <- prompt_i + x

None of it depends on what a block computes, so the encoder can be compiled as it is. The same
arithmetic takes the weights as one more input, a vector for each picture (``prompts``): one
compiled encoder serves every adapter, and a batch may mix them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

_REDUCTION = 32  # SAM-Adapter's: 768 / 32 = 24 inner channels on ViT-B
_CNN_INNER_CHANNELS = 24
_CNN_PATCH_PX = 4
_CNN_STEM_STRIDE = 2


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

    def prompts(
        self, embedded: torch.Tensor, high_frequency: torch.Tensor, weights: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return what :meth:`forward` does, with weights of each picture's own.

        Args:
            embedded: As in :meth:`forward`.
            high_frequency: As in :meth:`forward`.
            weights: (B, P) float32, from :func:`flat_weights` of adapters of this shape.
        """
        frequency, reduce, *individual, shared = _layers(self, weights)
        patches = _patches(high_frequency, self.frequency_embedding.kernel_size[0])
        from_patches = frequency.to_channels(patches).transpose(1, 2)
        inner = reduce.to_tokens(embedded.flatten(1, 2)) + from_patches  # (B, h * w, inner)
        return [
            shared.to_tokens(F.gelu(mlp.to_tokens(inner))).view(-1, *embedded.shape[1:])
            for mlp in individual
        ]


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
        prompted = [channels for channels, stride in stage_inputs if stride >= _CNN_PATCH_PX]
        self.frequency_embedding = nn.Conv2d(3, inner, _CNN_PATCH_PX, _CNN_PATCH_PX)
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
            if stride < _CNN_PATCH_PX:
                prompts.append(None)
                continue
            pooled = F.avg_pool2d(inner, stride // _CNN_PATCH_PX)
            prompts.append(self.shared(next(mlps)(pooled))[:, :channels])
        return prompts

    def prompts(
        self, embedded: torch.Tensor, high_frequency: torch.Tensor, weights: torch.Tensor
    ) -> list[torch.Tensor | None]:
        """Return what :meth:`forward` does, with weights of each picture's own.

        Args:
            embedded: As in :meth:`forward`.
            high_frequency: As in :meth:`forward`.
            weights: (B, P) float32, from :func:`flat_weights` of adapters of this shape.
        """
        frequency, reduce, *individual, shared = _layers(self, weights)
        stem = F.avg_pool2d(embedded, _CNN_PATCH_PX // _CNN_STEM_STRIDE)
        inner = reduce.to_channels(stem.flatten(2))
        inner = inner + frequency.to_channels(_patches(high_frequency, _CNN_PATCH_PX))
        inner = inner.view(-1, inner.shape[1], *stem.shape[2:])
        prompts: list[torch.Tensor | None] = []
        mlps = iter(individual)
        pooled_to = _CNN_PATCH_PX
        for channels, stride in self._stage_inputs:
            if stride < _CNN_PATCH_PX:
                prompts.append(None)
                continue
            if stride > pooled_to:
                inner = F.avg_pool2d(inner, stride // pooled_to)
                pooled_to = stride
            hidden = F.gelu(next(mlps).to_channels(inner.flatten(2)))
            prompt = shared.first(channels).to_channels(hidden)
            prompts.append(prompt.view(-1, channels, *inner.shape[2:]))
        return prompts


class _Layer(NamedTuple):
    """A fully-connected layer with weights of each picture's own.

    Attributes:
        weight: (B, outputs, inputs).
        bias: (B, outputs, 1).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def to_channels(self, features: torch.Tensor) -> torch.Tensor:
        """(B, inputs, N) -> (B, outputs, N)."""
        return self.weight @ features + self.bias

    def to_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, N, inputs) -> (B, N, outputs)."""
        return tokens @ self.weight.transpose(1, 2) + self.bias.transpose(1, 2)

    def first(self, outputs: int) -> _Layer:
        """Return the layer with its first ``outputs`` alone."""
        return _Layer(self.weight[:, :outputs], self.bias[:, :outputs])


def flat_weights(adapter: nn.Module) -> torch.Tensor:
    """Return an adapter's weights as one vector, a copy: (P,) float32.

    They stand in the order of ``adapter.named_parameters()``: frequency embedding, reduction,
    individual MLPs from the first block to the last, shared MLP; of each the weight (outputs
    before inputs, a patch by channel, row and column) and then the bias.
    """
    return torch.cat([parameter.detach().flatten() for parameter in adapter.parameters()])


def _layers(adapter: nn.Module, weights: torch.Tensor) -> list[_Layer]:
    """Cut (B, P) weights into the adapter's layers, in the order of :func:`flat_weights`."""
    shapes = [parameter.shape for parameter in adapter.parameters()]
    parts = torch.split(weights, [shape.numel() for shape in shapes], dim=1)
    tensors = [
        part.view(-1, shape[0], shape.numel() // shape[0])
        for part, shape in zip(parts, shapes, strict=True)
    ]
    return [_Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True)]


def _patches(images: torch.Tensor, patch_px: int) -> torch.Tensor:
    """(B, 3, S, S) -> (B, 3 * patch_px ** 2, patches), each as a convolution reads it."""
    return F.pixel_unshuffle(images, patch_px).flatten(2)


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
