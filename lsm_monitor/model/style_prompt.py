"""Style prompter: light and scene, read from the amplitude spectrum (Sec. 3.3, Eq. 4-5)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

_SIDE_PX = 256  # light and scene are seen in a small picture too, at a fraction of the cost
_CHANNELS = (64, 128, 256)


class StylePrompter(nn.Module):
    """Encodes the amplitude-only image as one token.

    The paper names no more than "a convolutional block": here four strided convolutions and
    an average over the picture, which meets its parameter count (5.1 M in stage two).

    Args:
        channels: D, length of the token.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (*_CHANNELS, channels):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=2, padding=1),
                nn.GroupNorm(1, outputs),  # a batch of one must work
                nn.GELU(),
            ]
            inputs = outputs
        self.encode = nn.Sequential(*layers)

    def forward(self, amplitude: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) from :func:`amplitude_image` -> (B, 1, D) float32, e_Sty."""
        token: torch.Tensor = self.encode(amplitude).mean((2, 3))
        return token[:, None]


def amplitude_side_px(input_size_px: int) -> int:
    """Return the side of the amplitude image of a picture with this side."""
    return min(input_size_px, _SIDE_PX)


def amplitude_image(images: torch.Tensor) -> torch.Tensor:
    """Return the pictures, at 256 px at most, rebuilt from their amplitudes alone.

    f = iFFT(|FFT(f)|) (Eq. 5) is real, blind to where things stand, and has a peak at pixel
    (0, 0) some hundred times its median. The peak is moved to the middle and everything
    compressed by sign(f) log(1 + |f|), or one pixel would speak for the picture.

    It is no part of the prompter, because few compilers of networks know an FFT or a resize
    that averages.

    Args:
        images: (B, 3, S, S) float32, normalised.

    Returns:
        (B, 3, side, side) float32, see :func:`amplitude_side_px`.
    """
    side_px = amplitude_side_px(images.shape[-1])
    if images.shape[-1] > side_px:
        images = F.interpolate(images, (side_px, side_px), mode="bilinear", antialias=True)
    with torch.autocast(images.device.type, enabled=False):
        amplitude = torch.fft.rfft2(images.float()).abs()
        rebuilt = torch.fft.irfft2(amplitude, s=images.shape[-2:])
        rebuilt = torch.fft.fftshift(rebuilt, dim=(-2, -1))
        compressed: torch.Tensor = rebuilt.sign() * rebuilt.abs().log1p()
    return compressed
