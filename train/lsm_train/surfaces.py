"""What is known about a pixel: a set of surfaces, one of which it shows.

Nobody has drawn every surface in every picture. A water mask tells water from everything else,
a road mask the road from what stands on it or beside it, a computed picture what it computed.
So a label is no class but the set of those that it leaves possible, and a pixel that nobody
has labelled leaves all of them.

Labels are numbers in one (H, W) uint8 array. ``DRY``, ``WATER`` and ``IGNORED`` are those of
every model; the others say more about what is dry, and for a model of water alone are dry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from lsm_monitor.model.small_model import DRY, IGNORED, WATER

__all__ = [
    "DRY",
    "DRY_ROAD",
    "IGNORED",
    "LABELS",
    "OFF_ROAD",
    "OTHER",
    "ROAD",
    "SURFACES",
    "VEHICLE",
    "WATER",
    "WET_ROAD",
    "class_of_surface",
    "from_road",
    "join",
    "possible_classes",
    "water_labels",
    "with_known",
]

ROAD, DRY_ROAD, WET_ROAD, OFF_ROAD, VEHICLE, OTHER = 2, 3, 4, 5, 6, 7

_WATER, _DRY_ROAD, _WET_ROAD, _VEHICLE, _OTHER = (
    "water",
    "dry_road",
    "wet_road",
    "vehicle",
    "other",
)
SURFACES = (_WATER, _DRY_ROAD, _WET_ROAD, _VEHICLE, _OTHER)
"""Everything that a street's picture shows; a class is one of these, or ``road``."""

LABELS: Mapping[str, tuple[int, frozenset[str]]] = MappingProxyType(
    {
        "dry": (DRY, frozenset(SURFACES) - {_WATER}),
        "water": (WATER, frozenset({_WATER})),
        "road": (ROAD, frozenset({_DRY_ROAD, _WET_ROAD})),
        "dry_road": (DRY_ROAD, frozenset({_DRY_ROAD})),
        "wet_road": (WET_ROAD, frozenset({_WET_ROAD})),
        "off_road": (OFF_ROAD, frozenset({_VEHICLE, _OTHER})),
        "vehicle": (VEHICLE, frozenset({_VEHICLE})),
        "other": (OTHER, frozenset({_OTHER})),
        "ignored": (IGNORED, frozenset(SURFACES)),
    }
)
"""The labels by the names they have in files: number, and the surfaces it leaves possible."""

ImageArray = npt.NDArray[np.uint8]


def class_of_surface(classes: Sequence[str]) -> dict[str, int]:
    """Return the index of the class that each surface belongs to.

    ``road`` takes both kinds of it, ``other`` everything that no class names.

    Raises:
        ValueError: A class is unknown, a surface belongs to none, or to two.
    """
    found: dict[str, int] = {}
    for index, name in enumerate(classes):
        surfaces = {_DRY_ROAD, _WET_ROAD} if name == "road" else {name}
        if not surfaces <= set(SURFACES):
            msg = f"unknown class {name!r}; known are road, {', '.join(SURFACES)}"
            raise ValueError(msg)
        if twice := surfaces & found.keys():
            msg = f"{', '.join(sorted(twice))} belongs to two classes; leave out 'road'"
            raise ValueError(msg)
        found |= dict.fromkeys(surfaces, index)
    missing = sorted(set(SURFACES) - found.keys())
    if missing and _OTHER not in found:
        msg = f"no class takes {', '.join(missing)}; add 'other'"
        raise ValueError(msg)
    return {surface: found.get(surface, found.get(_OTHER, -1)) for surface in SURFACES}


def possible_classes(classes: Sequence[str]) -> torch.Tensor:
    """Return (256, C) bool: which classes each label leaves possible; unused ones leave all.

    Raises:
        ValueError: As :func:`class_of_surface`.
    """
    index = class_of_surface(classes)
    possible = torch.ones(256, len(classes), dtype=torch.bool)
    for number, surfaces in LABELS.values():
        possible[number] = False
        possible[number, [index[surface] for surface in surfaces]] = True
    return possible


def water_labels(labels: torch.Tensor) -> torch.Tensor:
    """Return ``labels`` as a model of water alone knows them: dry, water and ignored."""
    says_more = (labels > WATER) & (labels != IGNORED)
    return labels.masked_fill(says_more, DRY)


def join(labels: ImageArray, surface: ImageArray | None) -> ImageArray:
    """Return (H, W) uint8: ``labels``, with ``surface`` where they only say that it is dry."""
    if surface is None:
        return labels
    return np.where(labels == DRY, surface, labels).astype(np.uint8)


def from_road(road: npt.NDArray[np.bool_]) -> ImageArray:
    """Return what a road mask says."""
    return np.where(road, ROAD, OFF_ROAD).astype(np.uint8)


def with_known(
    surface: ImageArray | None, where: npt.NDArray[np.bool_], label: int
) -> ImageArray:
    """Return ``surface`` after ``where`` has become ``label``."""
    before = np.full(where.shape, DRY, np.uint8) if surface is None else surface
    return np.where(where, label, before).astype(np.uint8)
