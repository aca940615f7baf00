"""A class-wise model from its recipe to the daemon: one step of training, export, masks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsm_monitor.inference.segmenter import Segmenter
from lsm_monitor.types import CameraId, Frame, FrameStamp
from lsm_train import cli
from lsm_train.config import Recipe
from lsm_train.errors import RunError
from lsm_train.export import export
from lsm_train.fit import fit, load_pictures
from lsm_train.splits import SPLITS_FILE
from lsm_train.surfaces import DRY_ROAD, OFF_ROAD, ROAD
from tests.unit.train.conftest import EditRecipe


def _classwise(content: dict[str, Any]) -> None:
    content["model"] |= {"decoder": "classwise", "block_adapters": True}
    content["model"] |= dict.fromkeys(("small_model", "spatial_prompt", "semantic_prompt"))
    content["model"] |= {"style_prompt": False, "prompt_combiner": False, "small_model_say": 0}
    large = content["stages"]["large"] | {"epochs": 1, "steps_per_epoch": 1}
    content["stages"] = {"large": large}
    content["classes"] = {"dry_roads": ["dry_lums"], "weights": {"wet_road": 2.0}}
    content["sources"] = content["sources"][:4]
    content["rendered"] = content["simulated"] = content["self_training"] = None


def split_otherwise(data: Path, folder: Path) -> Path:
    """Link the data, with one picture of train in val and one of val in train."""
    folder.mkdir()
    for path in data.iterdir():
        if path.name != SPLITS_FILE:
            (folder / path.name).symlink_to(path)
    splits = json.loads((data / SPLITS_FILE).read_text())
    train, val = splits["train"]["roadway_dev"], splits["val"]["roadway_dev"]
    train[0], val[0] = val[0], train[0]
    (folder / SPLITS_FILE).write_text(json.dumps(splits))
    return folder


@pytest.fixture(scope="module")
def recipe(edit_recipe: EditRecipe) -> Recipe:
    return edit_recipe(_classwise)


def test_the_roads_of_a_dry_data_set_are_dry(recipe: Recipe, shared_data: Path) -> None:
    for picture in load_pictures(recipe, shared_data).labelled["dry_lums"]:
        assert picture.surface is not None
        assert set(np.unique(picture.surface)) == {DRY_ROAD, OFF_ROAD}
    plain = recipe.model_copy(update={"classes": type(recipe.classes)()})
    (picture, *_) = load_pictures(plain, shared_data).labelled["dry_lums"]
    assert picture.surface is not None
    assert set(np.unique(picture.surface)) == {ROAD, OFF_ROAD}


@pytest.mark.slow
def test_a_run_becomes_a_bundle_that_says_which_class_is_water_and_finds_roads(
    recipe: Recipe, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(recipe, data=shared_data, out=tmp_path / "run", seed=0, device="cpu")
    manifest = export(tmp_path / "run", data=shared_data, out=tmp_path / "bundle")
    assert manifest.classes == ("other", "dry_road", "wet_road", "water", "vehicle")
    assert manifest.parts.decoder is not None
    assert manifest.parts.decoder.water == "water"
    otherwise = split_otherwise(shared_data, tmp_path / "data")
    with pytest.raises(RunError, match="its val part is not what"):
        export(tmp_path / "run", data=otherwise, out=tmp_path / "flattered")
    segmenter = Segmenter.open(
        str(tmp_path / "bundle"), backend="torch", device="cpu", threads=0, max_batch=1
    )
    stamp = FrameStamp(CameraId("a"), 0, 0, 0.0, datetime(2026, 7, 1, tzinfo=UTC), 0.0)
    (mask,) = segmenter.segment([Frame(stamp, np.zeros((48, 64, 3), np.uint8))])
    assert mask.road is not None
    assert mask.road.shape == mask.probability.shape == (48, 64)

    cli.evaluate_command(
        bundle=str(tmp_path / "bundle"), images=shared_data / "dry_lums", as_json=True
    )
    found = json.loads(capsys.readouterr().out)
    assert set(found["classes"]) == {*manifest.classes, "all roads"}
    roads = found["classes"]["all roads"]
    assert roads["iou"] is None or 0.0 <= roads["iou"] <= 1.0
