"""High-frequency filter: what is left of a picture without its smooth parts."""

from __future__ import annotations

import math

import torch


def high_frequency(images: torch.Tensor, removed_share: float) -> torch.Tensor:
    """Return the magnitude of the pictures' high frequencies.

    FFT, centre the spectrum, zero a centred square that holds ``removed_share`` of all
    frequencies, transform back, absolute value (SAM-Adapter's filter, which HE-Adapt applies
    to the equalised picture: Sec. 3.1). A share of 0 returns ``|images|``.

    Args:
        images: (B, C, S, S) floating point.
        removed_share: Removed part of the spectrum's area, [0, 1).

    Returns:
        (B, C, S, S) float32, not negative.
    """
    with torch.autocast(images.device.type, enabled=False):  # FFTs know no bfloat16
        images = images.float()
        height, width = images.shape[-2:]
        half = int(math.sqrt(height * width * removed_share) // 2)
        spectrum = torch.fft.fftshift(torch.fft.fft2(images, norm="forward"), dim=(-2, -1))
        kept = torch.ones(height, width, device=images.device)
        top, left = height // 2 - half, width // 2 - half
        kept[top : top + 2 * half, left : left + 2 * half] = 0.0
        spectrum = torch.fft.ifftshift(spectrum * kept, dim=(-2, -1))
        magnitude: torch.Tensor = torch.fft.ifft2(spectrum, norm="forward").real.abs()
    return magnitude
