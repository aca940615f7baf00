from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from lsm_monitor.model.postprocess import WaterRule
from lsm_train.contact_sheet import draw_contact_sheet
from lsm_train.curves import write_curve
from lsm_train.data import Picture
from lsm_train.evaluate import Evaluation, evaluate
from tests.unit.train.fakes import BlueIsWater, striped_picture

HALF = WaterRule(threshold=0.5, core_threshold=0.5, core_share=0.0)


def evaluated(*pictures: Picture) -> Evaluation:
    return evaluate(BlueIsWater(), pictures, water_rule=HALF)


def test_figures_are_global_pixel_counts() -> None:
    # Predicted 32 + 16 rows, of which 16 + 16 are water; 16 + 32 rows of water.
    result = evaluated(striped_picture("a", 32, 16), striped_picture("b", 16, 32)).counts
    assert result.precision == pytest.approx(32 / 48)
    assert result.recall == pytest.approx(32 / 48)
    assert result.iou == pytest.approx(32 / 64)


def test_the_json_has_the_documented_keys_and_values() -> None:
    result = evaluated(
        striped_picture("wet", 32, 32),
        striped_picture("dry", 0, 0),
        striped_picture("alarm", 2, 0),
    )
    figures = result.as_json("some-bundle", per_image=True)
    documented = {
        "bundle": "some-bundle",
        "pictures": 3,
        "threshold": 0.5,
        "precision": pytest.approx(32 / 34),
        "recall": 1.0,
        "f1": pytest.approx(64 / 66),
        "iou": pytest.approx(32 / 34),
        "dry_pictures": 2,
        # 2 of 64 rows are 3 %.
        "alarm_share": {"0.02": 0.5, "0.05": 0.0},
        "per_image": [
            {
                "name": "wet",
                "water_fraction_true": 0.5,
                "water_fraction_predicted": 0.5,
                "iou": 1.0,
            },
            {
                "name": "dry",
                "water_fraction_true": 0.0,
                "water_fraction_predicted": 0.0,
                "iou": 1.0,
            },
            {
                "name": "alarm",
                "water_fraction_true": 0.0,
                "water_fraction_predicted": 0.03125,
                "iou": 0.0,
            },
        ],
    }
    assert {key: figures[key] for key in documented} == documented
    added_since = figures.keys() - documented.keys()
    assert added_since == {"wet_mean_iou", "average_precision"}
    assert figures["wet_mean_iou"] == 1.0
    assert figures["average_precision"] == 1.0  # the alarm is fainter than all water
    json.dumps(figures)


def test_what_is_undefined_is_null_in_json() -> None:
    dry = evaluated(striped_picture("d", 0, 0)).as_json("b", per_image=False)
    flood = evaluated(striped_picture("w", 9, 9)).as_json("b", per_image=False)
    for key in ("precision", "recall", "f1", "iou", "wet_mean_iou", "average_precision"):
        assert dry[key] is None
    assert flood["alarm_share"] == {"0.02": None, "0.05": None}
    assert "per_image" not in flood


def test_every_wet_picture_counts_alike_in_the_mean() -> None:
    result = evaluated(
        striped_picture("small", 2, 4),
        striped_picture("large", 60, 60),
        striped_picture("dry", 8, 0),
    )
    assert result.wet_mean_iou == pytest.approx((0.5 + 1.0) / 2)


def test_a_piece_without_a_core_is_no_prediction_but_still_on_the_curve() -> None:
    wary = WaterRule(threshold=0.5, core_threshold=0.9, core_share=0.2)
    faint = striped_picture("faint", 32, 32, blue=159)  # probability 0.73
    result = evaluate(BlueIsWater(), [faint], water_rule=wary)
    assert result.counts.true_water == 0
    assert result.curve.average_precision == 1.0


def test_the_branch_chooses_who_is_asked() -> None:
    blue = striped_picture("a", 32, 32)
    large = evaluate(BlueIsWater(), [blue], water_rule=HALF, branch="large")
    assert large.counts.true_water == 0
    assert large.counts.false_water == 32 * 64


def test_a_curve_is_drawn_and_its_numbers_lie_beside_it(tmp_path: Path) -> None:
    curve = evaluated(striped_picture("a", 32, 16)).curve
    write_curve(tmp_path / "curve.png", {"one": curve, "other": curve})
    assert cv2.imread(str(tmp_path / "curve.png")) is not None
    numbers = json.loads((tmp_path / "curve.json").read_text())
    assert list(numbers) == ["one", "other"]
    assert numbers["one"]["average_precision"] == curve.average_precision
    assert {len(numbers["one"][key]) for key in ("threshold", "precision", "recall")} == {200}


def test_a_contact_sheet_paints_found_false_and_missed_water(tmp_path: Path) -> None:
    picture = striped_picture("a", 32, 48)
    draw_contact_sheet(tmp_path / "sheet.png", BlueIsWater(), [picture], water_rule=HALF)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape == (180, 6 * 240, 3)
    blue, green, red = (int(value) for value in sheet[112, 240 + 120])  # rows 32 to 48: missed
    assert red > green > blue
    blue, green, red = (int(value) for value in sheet[45, 240 + 120])  # rows 0 to 32: found
    assert blue > green > red


def test_a_contact_sheet_shows_the_branch_that_was_measured(tmp_path: Path) -> None:
    path, picture = tmp_path / "sheet.png", striped_picture("a", 32, 32)
    draw_contact_sheet(path, BlueIsWater(), [picture], water_rule=HALF, branch="large")
    sheet = cv2.imread(str(path))
    assert sheet is not None
    blue, _, red = (int(value) for value in sheet[135, 240 + 120])  # dry, called water
    assert red > blue


def test_a_contact_sheet_shows_at_most_24_pictures(tmp_path: Path) -> None:
    pictures = [striped_picture(str(index), 8, 8) for index in range(49)]
    draw_contact_sheet(tmp_path / "sheet.png", BlueIsWater(), pictures, water_rule=HALF)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    assert sheet.shape[0] // 180 * 3 <= 24
