"""EfficientNet-Lite0 as an image encoder: the feature extractor without its classifier.

Tan and Le, "EfficientNet" (2019); the Lite variant drops squeeze-and-excitation and swish so
that the network quantises and runs well on small machines. Adapted from TensorFlow's reference
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite, Apache-2.0):
strided convolutions keep its asymmetric "SAME" padding, or the ImageNet weights would see
every feature half a pixel off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.block_adapters import CnnStageAdapter

_BN_EPSILON = 1e-3  # TensorFlow's, which the ImageNet weights were trained with
_STEM_CHANNELS = 32


@dataclass(frozen=True, slots=True)
class _Stage:
    """Blocks of one resolution and width; the first block strides and widens."""

    blocks: int
    kernel_px: int
    stride: int
    expansion: int
    channels: int
    is_output: bool = False  # the last stage of its resolution


_STAGES = (
    _Stage(blocks=1, kernel_px=3, stride=1, expansion=1, channels=16),
    _Stage(blocks=2, kernel_px=3, stride=2, expansion=6, channels=24, is_output=True),
    _Stage(blocks=2, kernel_px=5, stride=2, expansion=6, channels=40, is_output=True),
    _Stage(blocks=3, kernel_px=3, stride=2, expansion=6, channels=80),
    _Stage(blocks=3, kernel_px=5, stride=1, expansion=6, channels=112, is_output=True),
    _Stage(blocks=4, kernel_px=5, stride=2, expansion=6, channels=192),
    _Stage(blocks=1, kernel_px=3, stride=1, expansion=6, channels=320, is_output=True),
)


class SameConv2d(nn.Conv2d):
    """Convolution without bias whose output has ceil(size / stride) pixels, as TensorFlow's.

    With stride 2 and an even input the padding is larger right and below than left and above.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_px: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        symmetric = (kernel_px - 1) // 2 if stride == 1 else 0
        super().__init__(
            inputs, outputs, kernel_px, stride, symmetric, groups=groups, bias=False
        )
        total_px = kernel_px - stride
        before_px = total_px // 2
        after_px = total_px - before_px
        self._strided_padding = (
            None if stride == 1 else (before_px, after_px, before_px, after_px)
        )

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - nn.Conv2d's name
        """(B, C, H, W), sides divisible by the stride -> (B, C', H / stride, W / stride)."""
        if self._strided_padding is not None:
            input = F.pad(input, self._strided_padding)  # noqa: A001 - as above
        return super().forward(input)


class _InvertedBottleneck(nn.Module):
    """MobileNetV2's block: expand, filter each channel, project; residual where it fits."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel_px: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.is_residual = stride == 1 and inputs == outputs
        self.expand = _conv_bn(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = _conv_bn(hidden, hidden, kernel_px, stride=stride, groups=hidden)
        self.project = _conv_bn(hidden, outputs, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = features if self.expand is None else F.relu6(self.expand(features))
        hidden = F.relu6(self.depthwise(hidden))
        projected: torch.Tensor = self.project(hidden)
        return features + projected if self.is_residual else projected


class EfficientNetLite0(nn.Module):
    """Image encoder with four maps, at strides 4, 8, 16 and 32.

    Attributes:
        channels: Channels of each map, finest first.
        strides: Stride of each map.
        stage_inputs: Channels and stride of each stage's input.
    """

    channels: tuple[int, ...] = tuple(stage.channels for stage in _STAGES if stage.is_output)
    strides: tuple[int, ...] = (4, 8, 16, 32)
    embedded_channels = _STEM_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv_bn(3, _STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList()
        inputs, stride = _STEM_CHANNELS, 2
        stage_inputs = []
        for stage in _STAGES:
            stage_inputs.append((inputs, stride))
            stride *= stage.stride
            blocks = nn.Sequential()
            for index in range(stage.blocks):
                blocks.append(
                    _InvertedBottleneck(
                        inputs,
                        stage.channels,
                        kernel_px=stage.kernel_px,
                        stride=stage.stride if index == 0 else 1,
                        expansion=stage.expansion,
                    )
                )
                inputs = stage.channels
            self.stages.append(blocks)
        self.stage_inputs = tuple(stage_inputs)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the image embeddings.

        Args:
            images: (B, 3, S, S) float32, normalised RGB; S divisible by 32.

        Returns:
            (B, 24, S/4, S/4), (B, 40, S/8, S/8), (B, 112, S/16, S/16), (B, 320, S/32, S/32).
        """
        return self.run_blocks(self.embed_patches(images))

    def embed_patches(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, 32, S/2, S/2): the stem, which stands for a patch embedding."""
        return F.relu6(self.stem(images))

    def run_blocks(
        self,
        embedded: torch.Tensor,
        prompts: Sequence[torch.Tensor | None] = (),
        adapters: nn.ModuleList | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the image embeddings.

        Args:
            embedded: From :meth:`embed_patches`.
            prompts: ``prompts[i]`` is added to the input of stage i.
            adapters: :class:`~lsm_monitor.model.block_adapters.CnnStageAdapter` of each stage,
                anything else where there is none.
        """
        features = embedded
        maps = []
        for index, (stage, blocks) in enumerate(zip(_STAGES, self.stages, strict=True)):
            prompt = prompts[index] if prompts else None
            before = features if prompt is None else prompt + features
            features = blocks(before)
            adapter = adapters[index] if adapters is not None else None
            if isinstance(adapter, CnnStageAdapter):
                features = adapter(before, features)
            if stage.is_output:
                maps.append(features)
        return tuple(maps)


def _conv_bn(
    inputs: int, outputs: int, kernel_px: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        SameConv2d(inputs, outputs, kernel_px, stride=stride, groups=groups),
        nn.BatchNorm2d(outputs, eps=_BN_EPSILON, momentum=0.01),
    )
