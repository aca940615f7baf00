"""The guard: a fitted model that is worse is refused, and says why."""

from __future__ import annotations

import pytest
import torch

from lsm_monitor.model.postprocess import WaterRule
from lsm_monitor.model.segmentation import Segmentation
from lsm_train.adapt_config import GuardSection
from lsm_train.guard import GuardPictures, compare
from tests.unit.train.fakes import BlueIsWater, striped_picture

RULE = WaterRule.plain()
STRICT = GuardSection()
FLOODED = striped_picture("flooded", blue_rows=32, water_rows=32)
DRY = striped_picture("dry", blue_rows=0, water_rows=0)


class BlackIsWater(BlueIsWater):
    """What a spoiled model looks like."""

    def forward(self, *args: torch.Tensor, prompted: bool = True) -> Segmentation:  # type: ignore[override]
        turned = super().forward(*args, prompted=prompted)
        return Segmentation(-turned.logits, -turned.decoder_logits)


def judge(pictures: GuardPictures, after: BlueIsWater, settings: GuardSection = STRICT) -> str:
    """Return the objections to ``after``."""
    report = compare(BlueIsWater(), after, pictures, water_rule=RULE, settings=settings)
    return "; ".join(report.objections)


@pytest.mark.parametrize(
    "pictures",
    [
        GuardPictures([FLOODED], [DRY], []),
        GuardPictures([], [DRY], [FLOODED.image]),
        GuardPictures([], [], [FLOODED.image]),
    ],
)
def test_a_model_that_is_the_same_is_not_worse(pictures: GuardPictures) -> None:
    assert judge(pictures, BlueIsWater()) == ""


def test_masks_show_that_a_model_is_spoiled() -> None:
    found = judge(GuardPictures([FLOODED], [], []), BlackIsWater())
    assert found == "IoU fell from 1.000 to 0.000"


def test_dry_pictures_show_that_a_model_cries_wolf() -> None:
    found = judge(GuardPictures([], [DRY], []), BlackIsWater())
    assert "false alarms on dry pictures rose from 0.0% to 100.0%" in found


def test_dry_pictures_among_those_with_masks_count_too() -> None:
    assert "false alarms" in judge(GuardPictures([FLOODED, DRY], [], []), BlackIsWater())


def test_frames_nobody_has_labelled_show_that_a_model_sees_something_else() -> None:
    found = judge(GuardPictures([], [], [FLOODED.image]), BlackIsWater())
    assert "agrees with the model before in only 0.00 of the water" in found


def test_what_is_tolerated_is_a_setting() -> None:
    lenient = GuardSection(tolerated_iou_loss=1.0, tolerated_alarm_rise=1.0)
    pictures = GuardPictures([FLOODED], [DRY], [])
    assert judge(pictures, BlackIsWater(), lenient) == ""


@pytest.mark.parametrize(
    "pictures",
    [
        GuardPictures([], [], [DRY.image]),
        GuardPictures([], [DRY], [DRY.image]),
        GuardPictures([DRY], [], []),
    ],
)
def test_without_any_water_nobody_knows_what_a_model_has_forgotten(
    pictures: GuardPictures,
) -> None:
    assert judge(pictures, BlueIsWater()).startswith("no picture that judges shows water")


def test_masks_without_water_leave_the_word_to_the_frames() -> None:
    pictures = GuardPictures([DRY], [], [FLOODED.image])
    assert judge(pictures, BlueIsWater()) == ""
    assert "agrees with the model before" in judge(pictures, BlackIsWater())


def test_the_report_has_both_models_figures() -> None:
    report = compare(
        BlueIsWater(),
        BlackIsWater(),
        GuardPictures([FLOODED], [DRY], []),
        water_rule=RULE,
        settings=STRICT,
    ).as_json()
    assert report["before"] == {"iou": 1.0, "alarm_share": 0.0}
    assert report["after"] == {"iou": 0.0, "alarm_share": 1.0}
    assert report["agreement"] is None
