"""Where a picture has edges and how they run, and how well two pictures' edges agree.

An edge is written as its doubled angle, a complex number of at most length 1. Doubling makes a
dark-to-bright edge the same as a bright-to-dark one, and the length saturates: a lit window at
night is the outline it was by day. Brightness and contrast therefore drop out, and the
correlation of two such fields says whether they show the same things in the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.complex64]

FIELD_WH: Final = (128, 72)
_BLUR_PX: Final = 1.0
# Gradients, in grey levels per pixel of the field, from which an edge counts more than half.
_WEAK_GRADIENT: Final = 1.5
# Clock and name are printed here; they would agree wherever the camera looks.
_OVERLAY_ROWS: Final = 7
_BORDER_COLUMNS: Final = 2
_VIBRATION_PX: Final = 1
_BLOCKS: Final = 4
_MIN_BLOCK_POWER: Final = 8.0
_BLOCK_AGREES: Final = 0.6


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well a picture's edges fit a reference's.

    Attributes:
        in_place: Correlation without a shift, but for a vibrating mast's, [-1, 1].
        contrast: How far ``in_place`` stands out of the correlations at all other shifts,
            in their standard deviations.
        matching_blocks: How many of 16 blocks of the picture agree well by themselves.
        best: Correlation at the best shift of all, [-1, 1].
        shift_fraction: That shift, as a share of the picture's width and height.
    """

    in_place: float
    contrast: float
    matching_blocks: int
    best: float
    shift_fraction: tuple[float, float]


def edge_field(luma: npt.NDArray[np.float32]) -> Field:
    """Return the edges of ``luma``, (h, w) in [0, 255], as (72, 128) doubled angles."""
    small = cv2.resize(luma, FIELD_WH, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), _BLUR_PX)
    across = cv2.Sobel(small, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(small, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    steepness = across * across + down * down + _WEAK_GRADIENT**2
    field = np.empty(small.shape, np.complex64)
    field.real = (across * across - down * down) / steepness
    field.imag = 2 * across * down / steepness
    field[:_OVERLAY_ROWS] = field[-_OVERLAY_ROWS:] = 0
    field[:, :_BORDER_COLUMNS] = field[:, -_BORDER_COLUMNS:] = 0
    return field


def structure(field: Field) -> float:
    """Return how much there is to see in ``field``: the mean length of its edges, [0, 1]."""
    return float(np.abs(field).mean())


def agreement(reference: Field, field: Field) -> Agreement:
    """Return how well ``field`` fits ``reference``."""
    power = float(np.vdot(reference, reference).real * np.vdot(field, field).real)
    if power <= 0:
        return Agreement(0.0, 0.0, 0, 0.0, (0.0, 0.0))
    spectrum = np.conj(np.fft.fft2(reference)) * np.fft.fft2(field)
    surface = np.fft.fftshift(np.fft.ifft2(spectrum).real) / np.sqrt(power)
    middle_y, middle_x = surface.shape[0] // 2, surface.shape[1] // 2
    near = slice(middle_y - _VIBRATION_PX, middle_y + _VIBRATION_PX + 1)
    around = slice(middle_x - _VIBRATION_PX, middle_x + _VIBRATION_PX + 1)
    vicinity = surface[near, around]
    in_place = float(vicinity.max())
    shaken = np.unravel_index(int(vicinity.argmax()), vicinity.shape)
    still = np.roll(field, [_VIBRATION_PX - int(by) for by in shaken], axis=(0, 1))
    spread = max(float(surface.std()), 1e-6)
    y, x = np.unravel_index(int(surface.argmax()), surface.shape)
    return Agreement(
        in_place=in_place,
        contrast=(in_place - float(surface.mean())) / spread,
        matching_blocks=_matching_blocks(reference, still),
        best=float(surface[y, x]),
        shift_fraction=(
            float(x - middle_x) / surface.shape[1],
            float(y - middle_y) / surface.shape[0],
        ),
    )


def _matching_blocks(reference: Field, field: Field) -> int:
    """Return how many blocks of two fields, with something to show in both, agree well."""
    common = _block_sums((np.conj(reference) * field).real)
    ours, theirs = (_block_sums(np.abs(each) ** 2) for each in (reference, field))
    shown = (ours > _MIN_BLOCK_POWER) & (theirs > _MIN_BLOCK_POWER)
    return int(np.count_nonzero(shown & (common > _BLOCK_AGREES * np.sqrt(ours * theirs))))


def _block_sums(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    height, width = values.shape[0] // _BLOCKS, values.shape[1] // _BLOCKS
    blocks = values.reshape(_BLOCKS, height, _BLOCKS, width)
    return np.asarray(blocks.sum(axis=(1, 3)), np.float32)
