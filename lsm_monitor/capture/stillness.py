"""Whether a camera delivers the same picture again and again.

Most cameras print a clock that runs on when the sensor has died, and H.264 smears its change
over other tiles: of a frozen picture under a clock, 0.4 to 1.0 of the tiles stay as they were
from key frame to key frame. It is noise that tells life: of a scene in which nothing moves,
0.3 grey levels of it leave at most 0.26 of the tiles still, at any quality down to CRF 42, by
day and by night. Some cameras filter more than that. How much stands still is therefore learnt
for each, and the same picture is *surely* the same where it does so far more than ever before.

What stays impossible: while an encoder with a tight bit rate wanders in quality, every key
frame of a frozen picture differs from the last as one of a quiet street does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Tiles = npt.NDArray[np.float32]

# A tile whose mean absolute change lies below, in grey levels, did not change.
_STILL_LUMA: Final = 0.25
# Tiles with a standard deviation below say nothing, if there are enough others.
_FLAT_LUMA: Final = 2.0
_MIN_SHOWN_TILES: Final = 30
# From this share of still tiles on, two pictures are the same one, whatever is usual.
_SAME_SHARE: Final = 0.9
# And from this one, if the camera is known for much less.
_ALIKE_SHARE: Final = 0.5
_MORE_THAN_USUAL: Final = 0.25
_DEVIATIONS: Final = 6.0
# And if it is not known: share of tiles in which not a pixel may differ.
_IDENTICAL_SHARE: Final = 0.97
# Three key frames of different groups of pictures, which an encoder does not copy.
_SURE_PICTURES: Final = 3
_SURE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Usual:
    """Share of still tiles from picture to picture of a live camera: mean and variance."""

    mean: float
    variance: float

    @property
    def limit(self) -> float:
        """Share above which this camera has never been while it was alive."""
        spread = max(_MORE_THAN_USUAL, _DEVIATIONS * math.sqrt(self.variance))
        return max(_ALIKE_SHARE, self.mean + spread)


class _Spell:
    """For how long something has been so, in seconds and in pictures."""

    def __init__(self) -> None:
        self._since_s, self._newest_s = 0.0, 0.0
        self._pictures = 0

    def begin(self, time_s: float) -> None:
        self._since_s, self._newest_s, self._pictures = time_s, time_s, 1

    def go_on(self, time_s: float) -> None:
        self._newest_s = time_s
        self._pictures += 1

    def lasts(self, seconds: float, pictures: int) -> bool:
        return self._newest_s - self._since_s >= seconds and self._pictures >= pictures


class StillnessCheck:
    """Watches the pictures of one camera in turn.

    Args:
        frozen_after_s: The same picture for so long is frozen whatever is usual.
        frozen_after_pictures: And at least so many of them.
    """

    def __init__(self, frozen_after_s: float, frozen_after_pictures: int) -> None:
        self._after_s = frozen_after_s
        self._after_pictures = frozen_after_pictures
        # Pictures are compared with the first of them: slow changes of the light add up
        # against that, while a frozen picture stays what it was.
        self._first: Tiles | None = None
        self._before: Tiles | None = None
        self._before_s = 0.0
        self._same, self._surely_same = _Spell(), _Spell()
        self.still_share: float | None = None

    def is_frozen(self, tiles: Tiles, time_s: float, usual: Usual | None) -> bool:
        """Add a picture; return whether the camera is frozen.

        Afterwards ``still_share`` is that since the picture before, where there was one.

        Args:
            tiles: See :meth:`Thumbnail.tiles`.
            time_s: When it was decoded, in seconds; never goes backwards.
            usual: What is usual for this camera, where that is known.
        """
        shown = tiles.std(axis=1) >= _FLAT_LUMA
        if np.count_nonzero(shown) < _MIN_SHOWN_TILES:
            shown[:] = True
        self.still_share, *since_before = _verdict(self._before, tiles, shown, usual)
        since_first = since_before
        if self._first is not self._before:
            _, *since_first = _verdict(self._first, tiles, shown, usual)
        if not any(since_first):
            # The first may have been the odd one, before the encoder settled.
            is_pair = any(since_before)
            self._first = self._before if is_pair else tiles
            for spell in (self._same, self._surely_same):
                spell.begin(self._before_s if is_pair else time_s)
            since_first = since_before
        spells = (self._same, self._surely_same)
        for spell, goes_on in zip(spells, since_first, strict=True):
            (spell.go_on if goes_on else spell.begin)(time_s)
        self._before, self._before_s = tiles, time_s
        return self._same.lasts(self._after_s, self._after_pictures) or self._surely_same.lasts(
            _SURE_S, _SURE_PICTURES
        )


def _verdict(
    before: Tiles | None, now: Tiles, shown: npt.NDArray[np.bool_], usual: Usual | None
) -> tuple[float | None, bool, bool]:
    """Return the share of still tiles, and whether the pictures are the same, and surely."""
    if before is None or before.shape != now.shape:
        return None, False, False
    # No noise survives coding in a white sky or under a cover.
    change = np.abs(now - before).mean(axis=1)[shown]
    still_share = float(np.mean(change < _STILL_LUMA))
    if usual is None:
        is_sure = float(np.mean(change == 0)) >= _IDENTICAL_SHARE
    else:
        is_sure = usual.limit <= _SAME_SHARE and still_share >= usual.limit
    return still_share, still_share >= _SAME_SHARE, is_sure
