"""To the size a small model was designed for, which need not be the large model's.

Receptive fields and anchors are counted in pixels: a network made for 320 px sees a puddle's
surroundings at 320 px and only its ripples at 1024. For smaller pictures it
is built at their size, see :mod:`lsm_monitor.model.build`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name

STRIDE_PX = 32  # of the coarsest map of every small model


def check_size(size_px: int) -> int:
    """Return ``size_px``.

    Raises:
        ValueError: It is not a positive multiple of 32.
    """
    if size_px < STRIDE_PX or size_px % STRIDE_PX:
        msg = f"a small model's size must be a positive multiple of {STRIDE_PX}, got {size_px}"
        raise ValueError(msg)
    return size_px


def resize_images(images: torch.Tensor, size_px: int) -> torch.Tensor:
    """Return (B, C, size_px, size_px) float32; shrinking averages, so thin edges survive.

    Args:
        images: (B, C, S, S) float32.
        size_px: The new side.
    """
    return F.interpolate(
        images, (size_px, size_px), mode="bilinear", align_corners=False, antialias=True
    )


def resize_labels(labels: torch.Tensor, size_px: int) -> torch.Tensor:
    """Return (B, size_px, size_px) uint8, each pixel the nearest of ``labels``.

    Args:
        labels: (B, S, S) uint8.
        size_px: The new side.
    """
    return F.interpolate(labels[:, None], (size_px, size_px), mode="nearest-exact")[:, 0]
