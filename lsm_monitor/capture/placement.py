"""Whether a picture shows what a look shows, in the same place.

Three answers are certain enough to act on. *Fits*: the edges agree in place. *Displaced*: they
agree clearly better somewhere else. *Misfit*: they agree nowhere, although the picture has as
much to show as the look has. Night, fog, glare or a lorry in front of the lens are none of
these: then nothing is known.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from lsm_monitor.capture.edges import Agreement, Field, agreement, structure
from lsm_monitor.capture.look import Light, Look

# Correlation in place from which the view is the look's: in the look's own light as a share
# of what is usual, in another light as it is.
_FIT_SHARE: Final = 0.5
_FIT: Final = 0.3
# Correlation from which a shift is believed, and by how much it must beat staying in place.
_FOUND_ELSEWHERE: Final = 0.4
_BETTER_ELSEWHERE: Final = 0.15
# Share of the picture's side by which zones may be off before they no longer fit.
_TOLERATED_SHIFT: Final = 0.025
# Correlation below which the view is another one, in the look's own light and in another.
_MISFIT_SHARE: Final = 0.35
_MISFIT: Final = 0.25
_MISFIT_CONTRAST: Final = 5.0
# A flood may take all of the road, and leaves the houses: two blocks in place are no chance.
_CHANCE_BLOCKS: Final = 1
_AS_MUCH_TO_SHOW: Final = 0.5


class Placement(Enum):
    """What the edges of a picture say about where the camera looks."""

    FITS = auto()
    DISPLACED = auto()
    MISFIT = auto()
    UNKNOWN = auto()


class Placements:
    """Where the camera looks by each look that it is held against; each is computed once.

    Args:
        field: Edges of the picture.
        light: Its light.
    """

    def __init__(self, field: Field, light: Light) -> None:
        self.field = field
        self.light = light
        self._found: dict[Light, tuple[Placement, float]] = {}

    def by(self, look: Look) -> Placement:
        """Return where the camera looks, judged by ``look``."""
        return self._of(look)[0]

    def fit(self, look: Look) -> float:
        """Return how well the edges agree with the look's in place, [-1, 1]."""
        return self._of(look)[1]

    def _of(self, look: Look) -> tuple[Placement, float]:
        if look.light not in self._found:
            found = agreement(look.field, self.field)
            is_same_light = look.light == self.light
            verdict = _verdict(found, look, self.field, is_same_light=is_same_light)
            self._found[look.light] = verdict, found.in_place
        return self._found[look.light]


def _verdict(found: Agreement, look: Look, field: Field, *, is_same_light: bool) -> Placement:
    shift = max(map(abs, found.shift_fraction))
    if (
        shift >= _TOLERATED_SHIFT
        and found.best >= _FOUND_ELSEWHERE
        and found.best >= found.in_place + _BETTER_ELSEWHERE
    ):
        return Placement.DISPLACED
    fit = max(_FIT, _FIT_SHARE * look.agreement) if is_same_light else _FIT
    if found.in_place >= fit:
        return Placement.FITS
    misfit = _MISFIT_SHARE * look.agreement if is_same_light else _MISFIT
    if (
        found.in_place < misfit
        and found.contrast < _MISFIT_CONTRAST
        and found.matching_blocks <= _CHANCE_BLOCKS
        and structure(field) >= _AS_MUCH_TO_SHOW * structure(look.field)
    ):
        return Placement.MISFIT
    return Placement.UNKNOWN
