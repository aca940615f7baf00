from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.postprocess import WaterRule
from lsm_train import class_evaluation
from lsm_train.class_evaluation import ROADS, ClassEvaluation, evaluate_classes
from lsm_train.data import Picture
from lsm_train.surfaces import DRY, DRY_ROAD, OFF_ROAD, OTHER, ROAD, VEHICLE, WATER, WET_ROAD
from tests.unit.model.models import NO_PROMPTS

OTHER_C, DRY_ROAD_C, WET_ROAD_C, WATER_C, VEHICLE_C = range(5)


@pytest.fixture(scope="module")
def model() -> LsmAdapter:
    parts = NO_PROMPTS.model_dump() | {"decoder": "classwise"}
    return build_model(ModelParts.model_validate(parts)).eval()


Judge = Callable[..., ClassEvaluation]


@pytest.fixture
def judge(model: LsmAdapter, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Evaluate predictions, (n,) class numbers, against labels, (n,) surfaces."""

    def evaluated(*pairs: tuple[list[int], list[int]]) -> ClassEvaluation:
        answers: list[npt.NDArray[np.intp]] = [np.array([found]) for found, _ in pairs]
        monkeypatch.setattr(class_evaluation, "predict_classes", lambda *_: answers.pop(0))
        pictures = []
        for _, known in pairs:
            surface = np.array([known], np.uint8)
            labels = (surface == WATER).astype(np.uint8)
            image = np.zeros((1, len(known), 3), np.uint8)
            pictures.append(Picture("", "", image, labels, surface=surface))
        return evaluate_classes(model, pictures, water_rule=WaterRule.plain())

    return evaluated


def test_a_pixel_that_was_missed_counts_whatever_it_was_taken_for(judge: Judge) -> None:
    """Also for the background class, which the published metrics leave out."""
    result = judge(([OTHER_C, VEHICLE_C, WATER_C, WATER_C], [WATER, WATER, WATER, OTHER]))
    assert result.counts["water"].recall == pytest.approx(1 / 3)
    assert result.counts["water"].precision == pytest.approx(1 / 2)
    assert result.counts["water"].iou == pytest.approx(1 / 4)
    assert result.counts["other"].iou == 0.0


def test_what_labels_leave_open_neither_helps_nor_hurts(judge: Judge) -> None:
    result = judge(([WET_ROAD_C, DRY_ROAD_C, VEHICLE_C, WATER_C], [ROAD, ROAD, OFF_ROAD, DRY]))
    assert result.counts["dry_road"].iou is None  # of no pixel is it known
    assert result.counts[ROADS].iou == 1.0  # road, and not road
    assert result.counts["water"].precision == 0.0  # the label says that it is dry


def test_the_share_of_the_road_under_water_is_compared_where_labels_tell_it(
    judge: Judge,
) -> None:
    exact = ([WATER_C, WET_ROAD_C, OTHER_C, OTHER_C], [WATER, DRY_ROAD, OTHER, VEHICLE])
    half_missed = ([WATER_C, DRY_ROAD_C, OTHER_C], [WATER, WATER, OFF_ROAD])
    unknown = ([WATER_C, DRY_ROAD_C], [WATER, DRY])
    assert judge(exact).road_share_error == 0.0
    assert judge(exact, half_missed, unknown).road_share_error == pytest.approx(0.25)
    assert judge(unknown).road_share_error is None


def test_predictions_have_the_pictures_size_and_water_by_the_rule(model: LsmAdapter) -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8)
    parts = model.head.classwise
    assert parts is not None
    none, everything = (
        class_evaluation.predict_classes(model, image, parts, WaterRule.plain(threshold))
        for threshold in (1.1, 0.0)
    )
    assert none.shape == (40, 90)
    assert not (none == WATER_C).any()
    assert (everything == WATER_C).all()


def test_a_model_of_water_alone_has_no_classes_to_judge() -> None:
    with pytest.raises(ValueError, match="has no classes"):
        evaluate_classes(build_model(NO_PROMPTS), [], water_rule=WaterRule.plain())


def test_wet_roads_and_dry_roads_are_one_road(judge: Judge) -> None:
    result = judge(([WET_ROAD_C, WET_ROAD_C], [DRY_ROAD, WET_ROAD]))
    assert result.counts["wet_road"].precision == pytest.approx(1 / 2)
    assert result.counts[ROADS].iou == 1.0
