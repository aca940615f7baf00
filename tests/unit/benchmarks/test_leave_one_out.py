from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from benchmarks.bench_leave_one_out import (
    EVERYTHING,
    RECIPE,
    SOURCES,
    figures_of,
    judge,
    print_table,
    without,
)
from lsm_train.config import Recipe, RenderedSection
from lsm_train.errors import DataError
from lsm_train.fit import load_pictures
from lsm_train.recipe_file import load_recipe
from tests.unit.train.conftest import write_picture
from tests.unit.train.fakes import BlueIsWater

FLOODED = ("roadway_dev", "roadway_unlabelled", "flood_aerial_kaggle")
DRY = (
    *("dry_lums", "dry_cctv", "neg_brazil_highway", "neg_udacity_highway"),
    *("dry_camvid", "eval_dhaka_dry", "eval_dhaka_wet"),
)
VALIDATED = ("roadway_dev", "dry_cctv")
STAGE = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 2}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every data set of the ablation, three pictures each."""
    folder = tmp_path / "data"
    stems = {name: [f"{name}_{index}" for index in range(3)] for name in (*FLOODED, *DRY)}
    for name, of_set in stems.items():
        for stem in of_set:
            write_picture(folder / name, stem, water=name in FLOODED, road=name in DRY)
    splits = {
        "train": {name: of_set[:2] for name, of_set in stems.items()},
        "val": {name: stems[name][2:] for name in VALIDATED},
    }
    (folder / "splits_dev.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Recipe:
    """The recipe of the benchmark, for one step on tiny pictures."""
    path = tmp_path / "tiny.yaml"
    content = {
        "base": str(RECIPE),
        "model": {"input_size_px": 64},
        "train_size_px": 64,
        "threads": 1,
        "stages": {"small": STAGE, "large": STAGE, "joint": STAGE},
        "self_training": {"from_epoch": 1},
        "rendered": {"streets": 1, "pictures_per_street": 2, "validation_streets": 1},
    }
    path.write_text(yaml.safe_dump(content))
    return load_recipe(path)


@pytest.mark.parametrize("row", SOURCES)
def test_a_source_that_is_left_out_is_named_nowhere(row: str) -> None:
    everything = load_recipe(RECIPE)
    assert everything.training_datasets >= set(SOURCES[row])
    left = without(everything, SOURCES[row])
    text = json.dumps(left.model_dump(mode="json", exclude_none=True))
    assert not [name for name in SOURCES[row] if f'"{name}"' in text]


@pytest.mark.parametrize("row", SOURCES)
def test_a_source_that_is_left_out_is_not_read(
    row: str, data: Path, tiny_recipe: Recipe
) -> None:
    for name in SOURCES[row]:
        shutil.rmtree(data / name, ignore_errors=True)  # rendered streets have no folder
    if row != "rendered":
        with pytest.raises(DataError, match=SOURCES[row][0]):
            load_pictures(tiny_recipe, data)
    pictures = load_pictures(without(tiny_recipe, SOURCES[row]), data)
    remaining = {"flood_aerial_kaggle", *(n for names in SOURCES.values() for n in names)}
    remaining -= {"roadway_unlabelled", *SOURCES[row]}
    assert set(pictures.labelled) == remaining
    assert len(pictures.unlabelled) == (0 if row == "roadway" else 3)


def test_what_does_not_come_from_the_source_stays_as_it_was() -> None:
    everything = load_recipe(RECIPE)
    left = without(everything, SOURCES["dry_cctv"])
    assert left.self_training == everything.self_training
    assert left.validation == ("roadway_dev",)
    assert left.stages == everything.stages
    lost = {"pictures": 1}  # the only source of dry_cctv alone
    for kind in ("pictures", "dried", "flooded", "wet"):
        before = [source.share for source in everything.sources if source.kind == kind]
        after = [source.share for source in left.sources if source.kind == kind]
        assert len(before) - len(after) == lost.get(kind, 0)


def test_a_recipe_that_cannot_do_without_a_source_is_refused() -> None:
    everything = load_recipe(RECIPE)
    with pytest.raises(ValueError, match="validation"):
        without(everything, everything.validation)


def test_a_run_is_trained_and_judged_once(data: Path, tiny_recipe: Recipe) -> None:
    runs = data.parent / "runs"
    found = figures_of(tiny_recipe, "roadway", 0, data=data, runs=runs)
    trained = json.loads((runs / "roadway-seed0" / "run.json").read_text())
    assert "roadway_dev" not in json.dumps(trained["recipe"])
    assert set(found) >= {"roadway: IoU", "dry_lums: alarms", "eval_dhaka_dry: alarms"}
    shutil.rmtree(data)
    assert figures_of(tiny_recipe, "roadway", 0, data=data, runs=runs) == found


def test_floods_are_judged_by_iou_and_dry_pictures_by_alarms(data: Path) -> None:
    write_picture(data / "dry_lums", "flooded", water=True, road=True)
    shutil.rmtree(data / "dry_lums" / "masks")  # so it is dry, its blue lower half too
    figures = judge(
        BlueIsWater().eval(), data, RenderedSection(streets=1, pictures_per_street=1)
    )
    assert figures["dry_lums: alarms"] == pytest.approx(25.0)
    assert figures["dry_cctv: alarms"] == 0.0
    assert figures["eval_dhaka_wet: alarms"] == 0.0
    assert figures["roadway: IoU, val"] > 90.0
    assert figures["roadway: IoU"] > 90.0


def test_the_table_marks_what_a_run_has_not_seen(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {
        EVERYTHING: [{"roadway: IoU": 80.0, "dry_lums: alarms": 1.0}],
        "dry_lums": [
            {"roadway: IoU": 70.0, "dry_lums: alarms": 4.0},
            {"roadway: IoU": 72.0, "dry_lums: alarms": 4.0},
        ],
    }
    print_table(rows)
    assert capsys.readouterr().out.splitlines() == [
        "| trained on | seeds | roadway: IoU | dry_lums: alarms |",
        "|---|---|---|---|",
        "| everything | 1 | 80.0 | 1.0 |",
        "| all but dry_lums | 2 | 71.0 ± 1.4 | **4.0 ± 0.0** |",
    ]
