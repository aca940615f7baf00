"""What an engine is tried with before it is trusted: pictures that look real.

The pictures are made up, so that no model depends on a file: noise whose amplitude falls with
the frequency, as it does in photographs of streets. With white noise equalisation, FFTs and the
first layers would see what they never see later.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lsm_monitor.model.preprocess import ImageArray

_SIZE_HW = (540, 960)
_MEAN, _DEVIATION = 115.0, 50.0  # of the bytes of a street by day
_SHARED = 0.8  # of what varies is the same in all three channels


def probe_pictures(count: int) -> list[ImageArray]:
    """Return ``count`` different pictures, always the same: (540, 960, 3) uint8 RGB."""
    rng = np.random.default_rng(0)
    return [_pink_picture(rng) for _ in range(count)]


def _pink_picture(rng: np.random.Generator) -> ImageArray:
    height, width = _SIZE_HW
    rows = np.fft.fftfreq(height)[:, None] * height
    columns = np.fft.rfftfreq(width)[None, :] * width
    fall = 1.0 / np.maximum(np.hypot(rows, columns), 1.0)
    shared = rng.standard_normal(_SIZE_HW)
    channels = [
        _filtered(_SHARED * shared + (1.0 - _SHARED) * rng.standard_normal(_SIZE_HW), fall)
        for _ in range(3)
    ]
    picture = _MEAN + _DEVIATION * np.stack(channels, axis=-1)
    return np.clip(picture, 0.0, 255.0).astype(np.uint8)


def _filtered(
    noise: npt.NDArray[np.float64], fall: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return ``noise`` with its spectrum multiplied by ``fall``, of mean 0 and deviation 1."""
    smooth = np.fft.irfft2(np.fft.rfft2(noise) * fall, noise.shape)
    return np.asarray((smooth - smooth.mean()) / smooth.std())
