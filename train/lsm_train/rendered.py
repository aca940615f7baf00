"""Training pictures rendered from the street of ``lsm-monitor demo``, with exact masks.

They show what nobody has labelled for us: streets from a mast, by night, in rain, wet but
dry, and half under brown water.
"""

from __future__ import annotations

import numpy as np

from lsm_monitor.demo.scene import SceneLayout, StreetScene
from lsm_monitor.demo.scene_style import random_style
from lsm_train.config import RENDERED, RenderedSection
from lsm_train.data import ImageArray, Picture
from lsm_train.surfaces import DRY_ROAD, OFF_ROAD, OTHER, VEHICLE, WET_ROAD

_DRY_SHARE = 0.4
# Seeds below are left to the demo and to whoever measures on rendered streets.
_FIRST_VALIDATION_SEED, _FIRST_SEED = 9_000, 10_000
_LONGEST_S = 600.0


def render_pictures(settings: RenderedSection) -> list[Picture]:
    """Return the same pictures for the same settings: many streets, each at a few moments."""
    return _render(_FIRST_SEED, settings.streets, settings.pictures_per_street)


def render_validation_pictures(settings: RenderedSection) -> list[Picture]:
    """Return pictures of streets that :func:`render_pictures` never shows."""
    streets = settings.validation_streets
    return _render(_FIRST_VALIDATION_SEED, streets, settings.pictures_per_street)


def _render(first_seed: int, streets: int, pictures_per_street: int) -> list[Picture]:
    pictures = []
    for seed in range(first_seed, first_seed + streets):
        rng = np.random.default_rng(seed)
        scene = StreetScene(random_style(seed))
        for moment in range(pictures_per_street):
            is_dry = rng.random() < _DRY_SHARE
            level = 0.0 if is_dry else float(rng.uniform(0.05, 1.0))
            t_s = float(rng.uniform(0.0, _LONGEST_S))
            image, water = scene.render(level, t_s)
            surface = _surface(scene.layout(t_s), is_wet=scene.is_wet)
            name = f"street_{seed}_{moment}"
            labels = water.astype(np.uint8)
            pictures.append(Picture(RENDERED, name, image, labels, surface=surface))
    return pictures


def _surface(layout: SceneLayout, *, is_wet: bool) -> ImageArray:
    """Return what the picture shows where no water stands."""
    surface = np.where(layout.road, WET_ROAD if is_wet else DRY_ROAD, OFF_ROAD)
    surface[layout.pavement | layout.walkers] = OTHER
    surface[layout.cars] = VEHICLE
    return surface.astype(np.uint8)
