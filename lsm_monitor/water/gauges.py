"""Depth from things of known height in the picture: virtual gauges.

A mark is a place at a known height over the road: a spot on a bollard, the kerb's edge, one
of the points along a staff. Where the mask covers it, the water is at least that deep; where
it does not, less. The answer is an interval and never a number: from the highest mark under
water to the lowest dry one. A mark that is half covered says nothing.

Marks contradict each other when a dry one lies below one under water: a car in front of it,
a wet pole above it. Then the interval reaches from the highest mark below all of them to the
lowest above all of them, and the reading is worth less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lsm_monitor.types import DepthInterval, ZoneId
from lsm_monitor.water.smoothing import BELIEVED_FROM

Point = tuple[float, float]

_SPOT_RADIUS = 0.004
"""Of the picture's width: a spot is a few pixels, so that one pixel decides nothing."""
_COVERED_FROM, _DRY_UP_TO = 0.7, 0.3
_STEPS = 48
"""Places that are looked at along a line or a staff."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at one height.

    Attributes:
        spots: Where to look, (x, y) from (0, 0) top left to (1, 1) bottom right.
        depth_cm: How deep the water is when it reaches the mark.
    """

    spots: tuple[Point, ...]
    depth_cm: float


@dataclass(frozen=True, slots=True)
class Gauge:
    """Marks under one name.

    Attributes:
        name: Stands in every depth that comes from it.
        zone_id: Zone whose depth it tells.
        marks: At least one.
    """

    name: str
    zone_id: ZoneId
    marks: tuple[Mark, ...]


def along(line: Sequence[Point]) -> tuple[Point, ...]:
    """Return evenly spaced places on ``line``, at least two corners, both ends included."""
    corners = np.array(line, float)
    lengths = np.hypot(*np.diff(corners, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    steps = np.linspace(0.0, at[-1], _STEPS)
    xs, ys = (np.interp(steps, at, corners[:, axis]) for axis in (0, 1))
    return tuple((float(x), float(y)) for x, y in zip(xs, ys, strict=True))


def staff_marks(ends: tuple[Point, Point], ends_cm: tuple[float, float]) -> tuple[Mark, ...]:
    """Return a staff as marks from its lower to its upper end, evenly divided.

    Even in the picture is even in height for a staff that stands upright and far enough
    away; of one that leans towards the camera, give pieces.
    """
    heights_cm = np.linspace(*ends_cm, _STEPS)
    return tuple(
        Mark((spot,), float(depth_cm))
        for spot, depth_cm in zip(along(ends), heights_cm, strict=True)
    )


@dataclass(frozen=True, slots=True)
class DepthReading:
    """What the gauges of one zone say.

    Attributes:
        interval: ``None`` when no mark says anything, or they leave every depth possible.
        agreement: Share of the marks that fit one depth, of those that say anything; [0, 1].
    """

    interval: DepthInterval | None
    agreement: float


class GaugeReader:
    """Reads the gauges of one zone.

    Args:
        gauges: At least one, all of the same zone.
    """

    def __init__(self, gauges: Sequence[Gauge]) -> None:
        marks = [(mark, gauge.name) for gauge in gauges for mark in gauge.marks]
        marks.sort(key=lambda pair: pair[0].depth_cm)
        self._marks = tuple(mark for mark, _ in marks)
        self._names = tuple(name for _, name in marks)
        self._depths_cm = np.array([mark.depth_cm for mark in self._marks])
        self._mask_hw = (0, 0)
        self._pixels: tuple[npt.NDArray[np.intp], ...] = ()

    def read(self, belief: npt.NDArray[np.float32]) -> DepthReading:
        """Return what the marks say.

        Args:
            belief: (h, w) float32 in [0, 1], from the smoother.
        """
        height, width = belief.shape
        if (height, width) != self._mask_hw:
            self._mask_hw = (height, width)
            self._pixels = tuple(_pixels_of(mark, self._mask_hw) for mark in self._marks)
        flat = belief.ravel()
        shares = np.array([(flat[each] >= BELIEVED_FROM).mean() for each in self._pixels])
        covered, dry = shares >= _COVERED_FROM, shares <= _DRY_UP_TO
        return DepthReading(self._interval(covered, dry), _agreement(covered, dry))

    def _interval(
        self, covered: npt.NDArray[np.bool_], dry: npt.NDArray[np.bool_]
    ) -> DepthInterval | None:
        depths_cm = self._depths_cm
        lowest_dry_cm = depths_cm[dry].min(initial=np.inf)
        highest_covered_cm = depths_cm[covered].max(initial=-np.inf)
        # Without a contradiction these are all marks under water, and all that are dry.
        below = np.flatnonzero(covered & (depths_cm < lowest_dry_cm))
        above = np.flatnonzero(dry & (depths_cm > highest_covered_cm))
        ends = [int(end) for end in (*below[-1:], *above[:1])]
        if not ends:
            return None
        names = dict.fromkeys(self._names[end] for end in ends)
        return DepthInterval(
            min_cm=float(depths_cm[below[-1]]) if len(below) else 0.0,
            max_cm=float(depths_cm[above[0]]) if len(above) else None,
            source="gauge:" + ",".join(names),
        )


def _agreement(covered: npt.NDArray[np.bool_], dry: npt.NDArray[np.bool_]) -> float:
    """Return the share of marks, lowest first, that fit the water line that fits best."""
    # Misfits when the first k marks are under water: the dry of these, the others covered.
    dry_below = np.concatenate([[0], np.cumsum(dry)])
    covered_above = covered.sum() - np.concatenate([[0], np.cumsum(covered)])
    misfits = int((dry_below + covered_above).min())
    return 1.0 - misfits / max(1, int(covered.sum() + dry.sum()))


def _pixels_of(mark: Mark, mask_hw: tuple[int, int]) -> npt.NDArray[np.intp]:
    """Return the flat indices of the pixels around the spots of ``mark``; at least one."""
    height, width = mask_hw
    radius_px = _SPOT_RADIUS * width
    reach = np.arange(-int(radius_px), int(radius_px) + 1)
    down, right = (axis.ravel() for axis in np.meshgrid(reach, reach, indexing="ij"))
    inside = down**2 + right**2 <= radius_px**2
    spots = np.array(mark.spots) * (width, height)
    columns = np.clip(spots[:, :1].astype(int) + right[inside], 0, width - 1)
    rows = np.clip(spots[:, 1:].astype(int) + down[inside], 0, height - 1)
    return np.unique(rows * width + columns)
