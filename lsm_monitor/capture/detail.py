"""How much structure each part of a picture has, and how sharp it is.

Both are energies of bands of spatial frequency on a fixed grid. *Texture* is the energy of a
coarse band, which noise and compression hardly reach. *Sharpness* is the fine band's share of
it: light and contrast change both bands alike, so only focus moves it. What the quietest cells
have is taken for noise and subtracted from both. The rows in which cameras print clock and
name are left out: that stays sharp over any lens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float32]

GRID_WH: Final = (32, 18)
# Edges of the bands, as the standard deviation of a Gaussian on a thumbnail.
_BAND_EDGES_PX: Final = (0.8, 1.6, 3.2)
_QUIET_SHARE: Final = 10
# Texture, in grey levels, from which a cell of a look has something to lose.
_STRUCTURED: Final = 3.0
# And below which sharpness is not told from noise.
_FAINT: Final = 1.0
# With fewer cells that have structure there is nothing to compare.
_MIN_STRUCTURED_CELLS: Final = 40
_OVERLAY_ROWS: Final = 2
_LEAST_GAIN: Final = 0.4
_LOST_RATIO: Final = 0.25
_SOFT_RATIO: Final = 0.6
# Sharpness below which a cell is not sharp in any look.
_FLAT: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What the cells of one picture, or of many, show.

    Attributes:
        texture: (18, 32) float32, coarse structure in grey levels.
        sharpness: (18, 32) float32, fine structure relative to the coarse; 0 where there is
            none.
    """

    texture: Grid
    sharpness: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a picture has lost against what is usual.

    Attributes:
        lost_fraction: Share of the cells with structure that have lost theirs, [0, 1].
        sharpness_ratio: Sharpness relative to the usual, the median over the cells with
            structure; 0 in a cell that has lost it.
        lost: (18, 32) bool, cells that usually have structure and now show next to nothing.
        soft: (18, 32) bool, cells that still show it, but blurred.
        structured: (18, 32) bool, cells that usually have structure.
    """

    lost_fraction: float
    sharpness_ratio: float
    lost: npt.NDArray[np.bool_]
    soft: npt.NDArray[np.bool_]
    structured: npt.NDArray[np.bool_]


def detail_of(luma: npt.NDArray[np.float32]) -> Detail:
    """Return the detail of ``luma``, (h, w) in [0, 255]."""
    low, middle, high = (cv2.GaussianBlur(luma, (0, 0), edge) for edge in _BAND_EDGES_PX)
    fine, coarse = _energy(low - middle), _energy(middle - high)
    texture = np.sqrt(coarse)
    sharpness = np.sqrt(fine) / np.maximum(texture, np.float32(_FAINT))
    return Detail(texture, np.asarray(sharpness, np.float32))


def _energy(band: npt.NDArray[np.float32]) -> Grid:
    energy = np.asarray(cv2.resize(band * band, GRID_WH, interpolation=cv2.INTER_AREA))
    noise = np.float32(np.percentile(energy[_OVERLAY_ROWS:-_OVERLAY_ROWS], _QUIET_SHARE))
    return np.asarray(np.maximum(energy - noise, 0), np.float32)


def change(usual: Detail, now: Detail) -> Change | None:
    """Return what ``now`` lost; ``None`` when ``usual`` has too little to lose."""
    structured = usual.texture > _STRUCTURED
    structured[:_OVERLAY_ROWS] = structured[-_OVERLAY_ROWS:] = False
    if np.count_nonzero(structured) < _MIN_STRUCTURED_CELLS:
        return None
    kept = now.texture / np.maximum(usual.texture, _FAINT)
    # Weak light takes contrast from the whole picture: judged by what has kept most of it.
    gain = float(np.clip(np.percentile(kept[structured], 80), _LEAST_GAIN, 1.0))
    lost = structured & (kept < _LOST_RATIO * gain)
    ratio = np.where(lost, 0, now.sharpness / np.maximum(usual.sharpness, _FLAT))
    return Change(
        lost_fraction=np.count_nonzero(lost) / np.count_nonzero(structured),
        sharpness_ratio=float(np.median(ratio[structured])),
        lost=lost,
        soft=structured & ~lost & (ratio < _SOFT_RATIO),
        structured=structured,
    )
