from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lsm_train.data import Picture
from lsm_train.evaluate import calibrate, evaluate


class BlueIsWater(nn.Module):
    """Logits that follow the blue channel: 0 is dry, 127 undecided, 255 water."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images[:, 2:], 4) * 4.0


def picture(name: str, blue_rows: int, water_rows: int, blue: int = 255) -> Picture:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:blue_rows, :, 2] = blue
    labels = np.zeros((64, 64), np.uint8)
    labels[:water_rows] = 1
    return Picture("", name, image, labels)


def test_figures_are_global_pixel_counts() -> None:
    # Predicted 32 rows of which 16 are water, and 16 of 32 rows of water.
    pictures = [picture("a", 32, 16), picture("b", 16, 32)]
    result = evaluate(BlueIsWater(), pictures, input_size_px=64, threshold=0.5).counts
    assert result.precision == pytest.approx(32 / 48)
    assert result.recall == pytest.approx(32 / 48)
    assert result.iou == pytest.approx(32 / 64)


def test_the_json_has_the_documented_keys_and_values() -> None:
    pictures = [picture("wet", 32, 32), picture("dry", 0, 0), picture("alarm", 2, 0)]
    result = evaluate(BlueIsWater(), pictures, input_size_px=64, threshold=0.5)
    json = result.as_json("some-bundle", per_image=True)
    assert list(json) == [
        "bundle",
        "pictures",
        "threshold",
        "precision",
        "recall",
        "f1",
        "iou",
        "dry_pictures",
        "alarm_share",
        "per_image",
    ]
    assert json["bundle"] == "some-bundle"
    assert json["pictures"] == 3
    assert json["dry_pictures"] == 2
    # 2 of 64 rows are 3 %.
    assert json["alarm_share"] == {"0.02": 0.5, "0.05": 0.0}
    assert json["per_image"] == [
        {
            "name": "wet",
            "water_fraction_true": 0.5,
            "water_fraction_predicted": 0.5,
            "iou": 1.0,
        },
        {"name": "dry", "water_fraction_true": 0, "water_fraction_predicted": 0, "iou": 1.0},
        {
            "name": "alarm",
            "water_fraction_true": 0.0,
            "water_fraction_predicted": 0.03125,
            "iou": 0.0,
        },
    ]


def test_what_is_undefined_is_null_in_json() -> None:
    dry = evaluate(BlueIsWater(), [picture("d", 0, 0)], input_size_px=64, threshold=0.5)
    flood = evaluate(BlueIsWater(), [picture("w", 9, 9)], input_size_px=64, threshold=0.5)
    for key in ("precision", "recall", "f1", "iou"):
        assert dry.as_json("b", per_image=False)[key] is None
    assert flood.as_json("b", per_image=False)["alarm_share"] == {"0.02": None, "0.05": None}
    assert "per_image" not in flood.as_json("b", per_image=False)


def test_calibration_takes_the_strictest_of_the_good_thresholds() -> None:
    # Water is clear blue (probability 0.98), a wet road half-blue (0.73): every threshold
    # between the two is perfect.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :, 2] = 255
    image[32:, :, 2] = 159
    labels = np.zeros((64, 64), np.uint8)
    labels[:32] = 1
    threshold = calibrate(BlueIsWater(), [Picture("", "p", image, labels)], input_size_px=64)
    assert threshold == 0.9
