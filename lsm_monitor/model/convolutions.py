"""What the convolutional networks share: the usual pair of layers and the usual start."""

from __future__ import annotations

from torch import nn


def conv_bn(
    inputs: int,
    outputs: int,
    kernel_px: int | tuple[int, int] = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    """Return a convolution without bias and its batch norm; no activation.

    Kernels have odd sides (height, width); the output has ceil(size / stride) pixels.
    """
    sides = (kernel_px, kernel_px) if isinstance(kernel_px, int) else kernel_px
    padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
    convolution = nn.Conv2d(inputs, outputs, sides, stride, padding, dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def kaiming_init(module: nn.Module) -> None:
    """Start every convolution and linear layer in ``module`` as He et al. (2015) do.

    The variance is kept forwards: kept backwards, a layer with one output channel, as those
    that end in logits, would start with logits of tens.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
