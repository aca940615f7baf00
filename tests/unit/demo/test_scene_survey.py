"""The gauge and the ground points of the rendered street tell its true depth and area."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lsm_monitor.config.gauges import GaugeConfig, GroundConfig
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_light import view_of
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.scene_survey import Survey, survey
from lsm_monitor.types import ZoneId
from lsm_monitor.water.gauges import Gauge, GaugeReader, Mark

CALM = SceneStyle(cars_per_minute=0.0)


@pytest.fixture(scope="module")
def scene() -> StreetScene:
    return StreetScene(CALM)


@pytest.fixture(scope="module")
def measured() -> Survey:
    return survey(CALM)


@pytest.mark.parametrize("level", [0.03, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0])
def test_the_true_depth_lies_between_two_marks_of_the_gauge(
    scene: StreetScene, measured: Survey, level: float
) -> None:
    _, water = scene.render(level, 0.0)
    marks = tuple(Mark((spot,), depth_cm) for spot, depth_cm in measured.marks)
    reading = GaugeReader([Gauge("gutter", ZoneId("road"), marks)]).read(
        water.astype(np.float32)
    )
    assert reading.interval is not None
    assert reading.agreement == 1.0
    # A few millimetres at the shore are no water in the mask.
    assert reading.interval.min_cm <= scene.depth_cm(level)
    assert scene.depth_cm(level) <= (reading.interval.max_cm or 1000.0) + 1.0
    if reading.interval.max_cm is not None:
        assert reading.interval.max_cm - reading.interval.min_cm < 6.0


def test_a_dry_street_has_no_depth(scene: StreetScene) -> None:
    assert scene.depth_cm(0.0) == 0.0


def test_marks_rise_and_lie_in_the_picture_as_the_ground_points_do(measured: Survey) -> None:
    depths_cm = [depth_cm for _, depth_cm in measured.marks]
    assert depths_cm == sorted(set(depths_cm))
    GaugeConfig.model_validate(
        {"marks": [{"points": [spot], "depth_cm": d} for spot, d in measured.marks]}
    )
    GroundConfig.model_validate(
        {"points": measured.ground_points, "metres": measured.ground_metres}
    )


def test_the_area_of_every_pixel_is_that_of_the_scene(measured: Survey) -> None:
    config = GroundConfig.model_validate(
        {"points": measured.ground_points, "metres": measured.ground_metres}
    )
    areas_m2 = config.ground().pixel_areas_m2((CALM.height_px, CALM.width_px))
    view = view_of(replace(CALM, seed=1))
    _, _, depth_m = view.ground()
    true_m2 = depth_m**3 / (view.focal_px**2 * view.height_m)
    near = areas_m2 > 0
    assert near.mean() > 0.5
    np.testing.assert_allclose(areas_m2[near], true_m2[near], rtol=0.02)
