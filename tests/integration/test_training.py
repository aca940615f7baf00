"""Training as it is really run: on the real pictures, and by several processes at once."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from lsm_monitor.model.bundle import load_bundle
from lsm_train.data import Picture, load_dataset, read_splits
from lsm_train.evaluate import evaluate
from lsm_train.export import export
from lsm_train.fit import fit
from lsm_train.recipe_file import load_recipe
from tests.unit.train.conftest import write_data

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DEBUG = ROOT / "config" / "train" / "debug.yaml"
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the real pictures are not on this machine"
)
TIMEOUT_S = 110.0


FEW = 12


def data_with_few_unlabelled(folder: Path) -> Path:
    """Link the real pictures, but few of those that the recipe labels by itself."""
    images = folder / "roadway_unlabelled" / "images"
    images.mkdir(parents=True)
    for path in DATA.iterdir():
        if path.name != "roadway_unlabelled":
            (folder / path.name).symlink_to(path)
    for path in sorted((DATA / "roadway_unlabelled" / "images").iterdir())[:FEW]:
        (images / path.name).symlink_to(path)
    return folder


def val_pictures() -> list[Picture]:
    stems = read_splits(DATA)["val"]["roadway_dev"]
    return load_dataset(DATA, "roadway_dev", stems, max_side_px=4096)


@needs_data
def test_the_debug_recipe_goes_from_real_pictures_to_a_bundle_that_finds_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recipe = load_recipe(DEBUG)
    data = data_with_few_unlabelled(tmp_path / "data")
    fit(recipe, data=data, out=tmp_path / "run", seed=0, device="cpu")
    manifest = export(tmp_path / "run", data=data, out=tmp_path / "bundle")

    for stage in ("small", "large", "joint"):
        left = {path.name for path in (tmp_path / "run" / stage).iterdir()}
        assert left >= {"best.safetensors", "last.safetensors", "state.safetensors"}
        assert left >= {"log.csv", "curves.png", "tensorboard"}
    assert (tmp_path / "run" / "contact_sheet.png").is_file()
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.manifest == manifest
    found = evaluate(bundle.model, val_pictures(), water_rule=bundle.manifest.water_rule)
    # The manifest rounds to four places.
    recorded = manifest.metrics["roadway_dev_val_iou"]
    assert found.counts.iou == pytest.approx(recorded, abs=1e-4)


@needs_data
def test_the_shipped_bundle_finds_the_water_of_the_val_pictures() -> None:
    bundle = load_bundle("compact")
    found = evaluate(bundle.model, val_pictures(), water_rule=bundle.manifest.water_rule)
    assert len(found.scores) == 18
    # Other CPUs round differently; the water's edge moves by single pixels.
    recorded = bundle.manifest.metrics["roadway_dev_val_iou"]
    assert found.counts.iou == pytest.approx(recorded, abs=0.005)


def test_two_processes_train_one_model_and_one_of_them_writes(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    reports, out = tmp_path / "reports", tmp_path / "run"
    reports.mkdir()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        DEBUG.read_text()
        .replace("steps_per_epoch: 2", "steps_per_epoch: 1")
        .replace("batch_size: 4", "batch_size: 1, accumulate: 2")
    )
    child = Path(__file__).with_name("training_child.py")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    subprocess.run(  # noqa: S603 - this Python, with our own child
        [sys.executable, "-m", *launcher, child, recipe, data, out, reports],
        check=True,
        timeout=TIMEOUT_S,
    )
    first, second = (json.loads((reports / f"{rank}.json").read_text()) for rank in (0, 1))
    assert list(first["digests"]) == ["small", "large", "joint"]
    assert first["digests"] == second["digests"]
    assert all(first["is_finite"].values())
    assert second["written"] == []
    assert (out / "joint" / "best.safetensors").is_file()
    assert (out / "contact_sheet.png").is_file()
