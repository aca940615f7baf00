"""The trainer's command line, run as an operator does, on generated pictures."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsm_monitor.model.bundle import load_bundle
from lsm_train.cli import main

Run = Callable[..., int]
REAL_DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    def call(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["lsm-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code

    handlers = logging.root.handlers[:]
    yield call
    logging.root.handlers[:] = handlers  # basicConfig keeps a stderr that pytest has closed


@pytest.fixture
def trained(run: Run, data: Path, debug_recipe: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    assert run("fit", debug_recipe, "--data", data, "--out", folder, "--seed", "3") == 0
    return folder


def test_training_exporting_and_evaluating_work_end_to_end(
    run: Run, data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    assert run("export", trained, "--data", data, "--out", bundle) == 0
    capsys.readouterr()
    roads = data / "roadway_dev"
    split = f"{data / 'splits_dev.json'}:val"
    folders = ("--images", roads / "images", "--masks", roads / "masks", "--split", split)
    assert run("evaluate", "--bundle", bundle, *folders, "--json") == 0
    figures = json.loads(capsys.readouterr().out)

    manifest = load_bundle(bundle).manifest
    assert manifest.software["recipe_seed"] == "3"
    assert [(s.name, s.pictures) for s in manifest.trained_on] == [
        ("dry_lums", 2),
        ("rendered", 2),
        ("roadway_dev", 2),
        ("roadway_unlabelled", 3),
    ]
    # The figures in the manifest are those that anyone gets from the stored weights.
    assert figures["iou"] == pytest.approx(manifest.metrics["roadway_dev_val_iou"], abs=1e-3)
    assert figures["pictures"] == 1


def test_a_run_leaves_log_curves_and_both_checkpoints(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "best.json",
        "best.safetensors",
        "curves.png",
        "last.json",
        "last.safetensors",
        "log.csv",
    ]
    with (trained / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]


def test_a_damaged_picture_stops_training_before_it_starts(
    run: Run, data: Path, debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "dry_lums" / "images" / "lums_2.jpg").write_bytes(b"no picture")
    folder = tmp_path / "run"
    assert run("fit", debug_recipe, "--data", data, "--out", folder) == 2
    assert "lums_2.jpg: is not a picture, or is damaged" in capsys.readouterr().err
    assert not folder.exists()


def test_an_unknown_part_in_a_recipe_is_named_with_the_known_ones(
    run: Run, data: Path, debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(debug_recipe.read_text().replace("small_model: lite", "small_model: big"))
    assert run("fit", recipe, "--data", data, "--out", tmp_path / "run") == 78
    assert "unknown small_model 'big'; known are lite" in capsys.readouterr().err


def test_a_run_folder_that_cannot_be_made_is_named(
    run: Run, data: Path, debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run("fit", debug_recipe, "--data", data, "--out", tmp_path / "file" / "run") == 78
    assert "file/run: cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(
            ("evaluate", "--bundle", "compct", "--images", "."),
            78,
            "did you mean 'compact'",
            id="bundle",
        ),
        pytest.param(
            ("evaluate", "--bundle", "compact", "--images", "nowhere"),
            2,
            "nowhere: no such folder",
            id="images",
        ),
        pytest.param(
            ("evaluate", "--bundle", "compact", "--images", ".", "--split", "nowhere:val"),
            2,
            "nowhere: cannot be read as splits",
            id="split",
        ),
        pytest.param(("fit", "nowhere.yaml"), 78, "nowhere.yaml: cannot be read", id="recipe"),
        pytest.param(
            ("export", "nowhere", "--out", "x"), 78, "no usable checkpoint", id="checkpoint"
        ),
        pytest.param(("evaluate",), 2, "Missing option", id="usage"),
    ],
)
def test_bad_input_ends_with_a_clear_error_and_its_status(
    run: Run,
    arguments: tuple[str, ...],
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments) == status
    assert message in capsys.readouterr().err


def test_figures_for_people_say_what_is_undefined(
    run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = data / "dry_lums" / "images"
    assert run("evaluate", "--bundle", "compact", "--images", images, "--per-image") == 0
    out = capsys.readouterr().out
    assert "recall        undefined" in out
    assert "lums_1" in out


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the real pictures are not on this machine")
def test_the_shipped_bundle_finds_the_water_of_the_val_pictures(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    roads = REAL_DATA / "roadway_dev"
    split = f"{REAL_DATA / 'splits_dev.json'}:val"
    folders = ("--images", roads / "images", "--masks", roads / "masks", "--split", split)
    assert run("evaluate", "--bundle", "compact", *folders, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    recorded = load_bundle("compact").manifest.metrics["roadway_dev_val_iou"]
    assert figures["pictures"] == 18
    # Other CPUs round differently; the water's edge moves by single pixels.
    assert figures["iou"] == pytest.approx(recorded, abs=0.005)
