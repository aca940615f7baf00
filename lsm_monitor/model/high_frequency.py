"""Filters of a picture's spectrum: what is left without its smooth parts, or of them alone."""

from __future__ import annotations

import functools
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
    height, width = images.shape[-2:]
    return _filtered(images, _kept(height, width, removed_share, images.device))


def low_frequency(images: torch.Tensor, kept_share: float) -> torch.Tensor:
    """Return the magnitude of the pictures' low frequencies: light and shade without texture.

    What :func:`high_frequency` removes is all that is kept (ClassWise-SAM-Adapter's input).

    Args:
        images: (B, C, S, S) floating point.
        kept_share: Kept part of the spectrum's area, [0, 1).

    Returns:
        (B, C, S, S) float32, not negative.
    """
    height, width = images.shape[-2:]
    return _filtered(images, 1.0 - _kept(height, width, kept_share, images.device))


def _filtered(images: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    height, width = images.shape[-2:]
    with torch.autocast(images.device.type, enabled=False):  # FFTs know no bfloat16
        spectrum = torch.fft.rfft2(images.float(), norm="forward") * kept
        found: torch.Tensor = torch.fft.irfft2(
            spectrum, s=(height, width), norm="forward"
        ).abs()
    return found


@functools.lru_cache(maxsize=4)
@torch.inference_mode(mode=False)  # what is kept must do for training, too
def _kept(height: int, width: int, removed_share: float, device: torch.device) -> torch.Tensor:
    """Return what is kept of each frequency that an FFT of real pictures gives.

    An even square cannot be centred: it holds its lower edge's frequencies without their
    opposites. The real part of what comes back is half of such a pair.
    """
    half = int(math.sqrt(height * width * removed_share) // 2)
    kept = torch.ones(height, width)
    top, left = height // 2 - half, width // 2 - half
    kept[top : top + 2 * half, left : left + 2 * half] = 0.0
    kept = torch.fft.ifftshift(kept)
    opposite = kept.flip(0, 1).roll((1, 1), (0, 1))
    halved: torch.Tensor = ((kept + opposite) / 2)[:, : width // 2 + 1]
    return halved.to(device)
