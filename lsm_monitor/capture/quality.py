"""Whether a picture can be judged at all, and why not.

A picture that cannot be judged is *absent* downstream, never "no water". That makes a wrong
alarm here expensive (the camera goes blind), so a code needs nine tenths of the picture. Of
1,196 real pictures of streets and floods none comes near: at most 0.26 of the tiles
of any are dark, 0.26 overexposed, 0.65 without texture.

Everything is decided on a grid of tiles of the picture's luma, taken by skipping pixels and
not by averaging, because averaging would remove the very noise that tells a live sensor from
a frozen one. Deciding by the *share of tiles* leaves out the clock and the name that most
cameras print into the picture: they run on over a covered lens.

FROZEN means that the same picture is delivered again and again. A dead sensor whose encoder
still works is recognised under a running clock with JPEG, whose blocks are independent, but
not with H.264: prediction carries the clock's change into half of the tiles (measured), and
no limit would tell that from a quiet street.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lsm_monitor.types import HealthCode

_MAX_SIDE_PX = 320
_TILE_PX = 10


@dataclass(frozen=True, slots=True)
class QualityRules:
    """Limits of the checks. Luma runs from 0 to 255.

    Attributes:
        tiles_fraction: Share of the tiles that must agree on a code, [0, 1].
        dark_luma: A tile whose mean lies below is dark.
        bright_luma: A tile whose mean lies above is overexposed.
        flat_luma: A tile whose standard deviation lies below has no texture.
        still_luma: A tile whose mean absolute change lies below did not change. Within a
            second at most a third of a live camera's tiles are that still (measured).
        frozen_after_s: A picture must stay the same this long to count as frozen. Longer than
            any sensible key-frame interval: between two key frames, H.264 may copy the tiles
            of a quiet scene for ever.
        frozen_after_pictures: So many pictures must have stayed the same as well.
    """

    tiles_fraction: float = 0.9
    dark_luma: float = 16.0
    bright_luma: float = 250.0
    flat_luma: float = 2.0
    still_luma: float = 0.25
    frozen_after_s: float = 120.0
    frozen_after_pictures: int = 5


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """Verdict about one picture; ``codes`` says why it is unusable, sorted."""

    codes: tuple[HealthCode, ...]

    @property
    def usable(self) -> bool:
        """Whether the picture can be judged."""
        return not self.codes


def luma_tiles(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the luma of a sparse sample of the picture, cut into tiles.

    Args:
        image: (H, W, 3) uint8, RGB.

    Returns:
        (T, 100) float32 in [0, 255], one row per tile of 10 x 10 sampled pixels.

    Raises:
        ValueError: ``image`` is smaller than one tile, or not (H, W, 3).
    """
    if image.ndim != 3 or min(image.shape[:2]) < _TILE_PX or image.shape[2] != 3:  # noqa: PLR2004 - RGB
        msg = f"image must be (H, W, 3) with sides of {_TILE_PX} px or more, got {image.shape}"
        raise ValueError(msg)
    shorter, longer = sorted(image.shape[:2])
    # The shorter side keeps at least one tile, however long and thin the picture is.
    step = max(1, min(-(-longer // _MAX_SIDE_PX), shorter // _TILE_PX))
    luma = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
    rows, columns = luma.shape[0] // _TILE_PX, luma.shape[1] // _TILE_PX
    cut = luma[: rows * _TILE_PX, : columns * _TILE_PX]
    # (rows * 10, columns * 10) -> (rows, columns, 10, 10) -> (T, 100)
    grid = cut.reshape(rows, _TILE_PX, columns, _TILE_PX).swapaxes(1, 2)
    return grid.reshape(-1, _TILE_PX * _TILE_PX).astype(np.float32)


def exposure_codes(
    tiles: npt.NDArray[np.float32], rules: QualityRules
) -> tuple[HealthCode, ...]:
    """Return why a single picture shows nothing: at most one code, the most telling.

    Args:
        tiles: See :func:`luma_tiles`.
        rules: Limits.
    """
    means = tiles.mean(axis=1)
    if np.mean(means < rules.dark_luma) >= rules.tiles_fraction:
        return (HealthCode.DARK,)
    if np.mean(means > rules.bright_luma) >= rules.tiles_fraction:
        return (HealthCode.OVEREXPOSED,)
    if np.mean(tiles.std(axis=1) < rules.flat_luma) >= rules.tiles_fraction:
        return (HealthCode.BLANK,)
    return ()


class QualityCheck:
    """Judges the pictures of one camera in turn, reconnects or not: it may be frozen across."""

    def __init__(self, rules: QualityRules) -> None:
        self._rules = rules
        self._still: npt.NDArray[np.float32] | None = None
        self._still_since_s = 0.0
        self._still_pictures = 0

    def assess(self, image: npt.NDArray[np.uint8], time_s: float) -> FrameQuality:
        """Judge the next picture.

        Args:
            image: (H, W, 3) uint8, RGB.
            time_s: When it was decoded, in seconds; never goes backwards.

        Raises:
            ValueError: See :func:`luma_tiles`.
        """
        if min(image.shape[:2]) < _TILE_PX:
            return FrameQuality((HealthCode.BLANK,))  # too small to show anything
        tiles = luma_tiles(image)
        codes = list(exposure_codes(tiles, self._rules))
        if self._is_frozen(tiles, time_s):
            codes.append(HealthCode.FROZEN)
        return FrameQuality(tuple(sorted(codes)))

    def _is_frozen(self, tiles: npt.NDArray[np.float32], time_s: float) -> bool:
        # Compared with the first picture of the run and not with the one before: slow light
        # changes add up against the first, while a frozen picture stays what it was.
        if self._still is None or not self._is_same(tiles, self._still):
            self._still, self._still_since_s, self._still_pictures = tiles, time_s, 1
            return False
        self._still_pictures += 1
        return (
            time_s - self._still_since_s >= self._rules.frozen_after_s
            and self._still_pictures >= self._rules.frozen_after_pictures
        )

    def _is_same(self, a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> bool:
        if a.shape != b.shape:
            return False
        still = np.abs(a - b).mean(axis=1) < self._rules.still_luma
        return bool(still.mean() >= self._rules.tiles_fraction)
