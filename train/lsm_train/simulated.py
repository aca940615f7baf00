"""Training pictures of photographed roads, flooded or merely wetted by computation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lsm_train.config import SIMULATED, SimulatedSection
from lsm_train.data import Picture, shrink
from lsm_train.errors import DataError
from lsm_train.flood_style import random_flood_style
from lsm_train.flooding import flood
from lsm_train.surfaces import OFF_ROAD, ROAD, WET_ROAD

_WET_SHARE = 0.4
_SEED = 20_000  # of the pictures; a run's seed decides only how they are drawn
_MAX_SIDE_PX = 512


def simulate_pictures(
    settings: SimulatedSection, pictures: Mapping[str, Sequence[Picture]]
) -> list[Picture]:
    """Return the same pictures for the same settings; a part of them is wet, not flooded.

    Args:
        settings: From which data sets, and how many.
        pictures: Training pictures by data set.

    Raises:
        DataError: None of the pictures has a road mask.
    """
    roads = [
        shrink(picture, _MAX_SIDE_PX)
        for name in settings.datasets
        for picture in pictures[name]
        if picture.road is not None and picture.road.any()
    ]
    if not roads:
        msg = f"{', '.join(settings.datasets)}: no picture has a road mask; simulate others"
        raise DataError(msg)
    simulated = []
    for index in range(settings.pictures):
        rng = np.random.default_rng((_SEED, index))
        source = roads[index % len(roads)]
        assert source.road is not None  # noqa: S101 - chosen so
        style = random_flood_style(rng)
        is_wet = rng.random() < _WET_SHARE
        if is_wet:
            style = dataclasses.replace(style, wetness=float(rng.uniform(0.5, 1.0)))
        level = 0.0 if is_wet else float(rng.uniform(0.05, 1.0))
        image, water = flood(source.image, source.road, level, style)
        name = f"{source.name}_simulated_{index}"
        surface = np.where(source.road, WET_ROAD if is_wet else ROAD, OFF_ROAD).astype(np.uint8)
        labels = water.astype(np.uint8)
        simulated.append(Picture(SIMULATED, name, image, labels, source.road, surface))
    return simulated
