"""What one light makes of a camera's view: the mean of many pictures.

A street by day, at dusk, under lamps and in infra-red light are four looks of one view. Edges
that stay in place survive the mean; cars, people and noise do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np

from lsm_monitor.capture.detail import Change, Detail, Grid
from lsm_monitor.capture.edges import Field
from lsm_monitor.capture.stillness import Usual
from lsm_monitor.capture.thumbnail import Thumbnail

_BRIGHTNESS_EDGES: Final = (25.0, 50.0, 90.0)
# A camera whose exposure hunts about an edge would learn neither light for long.
_EDGE_WIDTH: Final = 1.15
ESTABLISHED_PICTURES: Final = 30
# A day at one picture in 10 s. Then the edges are fixed for good: a reference that kept
# learning would follow a sinking mast.
LEARNT_PICTURES: Final = 8640
_LOSS_LEARNT_PICTURES: Final = 1000
_STILL_PICTURES: Final = 500
_USUAL_SURPRISE: Final = 0.1


class Light(NamedTuple):
    """The light of a picture: without colour or with, and how bright, 0 to 3."""

    is_grey: bool
    brightness: int

    def brighter(self, by: int) -> Light:
        """Return the light that is so many steps brighter."""
        return self._replace(brightness=self.brightness + by)


def light_of(thumb: Thumbnail, before: Light | None = None) -> Light:
    """Return the light of a picture: that of the picture before it, if it is on the edge."""
    mean = float(thumb.luma.mean())
    light = Light(thumb.is_grey, int(np.searchsorted(_BRIGHTNESS_EDGES, mean)))
    if before in (light.brighter(1), light.brighter(-1)):
        edge = _BRIGHTNESS_EDGES[min(light.brightness, before.brightness)]
        if edge / _EDGE_WIDTH < mean < edge * _EDGE_WIDTH:
            return before
    return light


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The mean of the pictures in one light.

    Attributes:
        light: Which light.
        pictures: How many were learnt.
        field: Mean of their edges, (72, 128) complex64.
        detail: Mean of their detail.
        agreement: Mean of how well each fitted ``field``, [-1, 1].
        still_mean: Mean share of tiles that stood still from picture to picture, [0, 1].
        still_variance: Variance of that share.
        is_on_trial: Whether it is not yet known that the camera looked the right way.
    """

    light: Light
    pictures: int
    field: Field
    detail: Detail
    agreement: float
    still_mean: float
    still_variance: float
    is_on_trial: bool

    @classmethod
    def first(
        cls, light: Light, field: Field, detail: Detail, *, is_on_trial: bool = False
    ) -> Self:
        """Return the look of a single picture."""
        return cls(light, 1, field, detail, 0.0, 0.0, 0.0, is_on_trial)

    @property
    def is_established(self) -> bool:
        """Whether it rests on enough pictures to judge others by."""
        return self.pictures >= ESTABLISHED_PICTURES and not self.is_on_trial

    def with_picture(
        self, field: Field, detail: Detail, fit: float, found: Change | None
    ) -> Look:
        """Return the look after one more picture.

        Args:
            field: Edges of the picture.
            detail: Its detail.
            fit: How well its edges agreed with this look, [-1, 1].
            found: What it lost against this look, where that could be told.
        """
        weight = 1 / (min(self.pictures, LEARNT_PICTURES) + 1)
        texture_weights = np.full(self.detail.texture.shape, weight, np.float32)
        sharpness_weights = texture_weights.copy()
        if found is not None:
            # A parked car has left, or there is a leaf on the lens; a drop, or new asphalt.
            texture_weights[found.lost] = 1 / _LOSS_LEARNT_PICTURES
            sharpness_weights[found.lost | found.soft] = 1 / LEARNT_PICTURES
        field_weight = weight if self.pictures < LEARNT_PICTURES else 0.0
        return replace(
            self,
            pictures=self.pictures + 1,
            field=(self.field + field_weight * (field - self.field)).astype(np.complex64),
            detail=Detail(
                _towards(self.detail.texture, detail.texture, texture_weights),
                _towards(self.detail.sharpness, detail.sharpness, sharpness_weights),
            ),
            agreement=self.agreement + (fit - self.agreement) / min(self.pictures, 100),
        )

    def with_still_share(self, share: float) -> Look:
        """Return the look after one more picture of which ``share`` stood still."""
        weight = 1 / min(self.pictures, _STILL_PICTURES)
        # Cut off, or the first pictures of a frozen camera would pass for its habit.
        largest = _USUAL_SURPRISE if self.is_established else 1.0
        off = min(share - self.still_mean, largest)
        return replace(
            self,
            still_mean=self.still_mean + weight * off,
            still_variance=(1 - weight) * (self.still_variance + weight * off * off),
        )

    @property
    def usual(self) -> Usual:
        """How much usually stands still from picture to picture."""
        return Usual(self.still_mean, self.still_variance)


def _towards(usual: Grid, now: Grid, weights: Grid) -> Grid:
    return (usual + weights * (now - usual)).astype(np.float32)
