"""The trainer's command line, run as an operator does, on generated pictures."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from lsm_monitor.model.bundle import load_bundle
from lsm_train.checkpoint import load_progress, save_progress
from lsm_train.cli import main
from tests.unit.train.conftest import write_data

Run = Callable[..., int]


def call(*arguments: str | Path) -> int:
    """Run ``lsm-train`` and return its exit status."""
    handlers = logging.root.handlers[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lsm-train", *map(str, arguments)])
        patch.setattr(sys, "excepthook", sys.excepthook)  # main has its own
        with pytest.raises(SystemExit) as caught:
            main()
    logging.root.handlers[:] = handlers  # basicConfig keeps a stderr that pytest has closed
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(scope="module")
def trained(
    shared_data: Path, debug_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert call("fit", debug_recipe, "--data", shared_data, "--out", folder, "--seed", "3") == 0
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, shared_data: Path) -> Path:
    folder = trained.with_name("bundle")
    assert call("export", trained, "--data", shared_data, "--out", folder) == 0
    return folder


@pytest.fixture(scope="module")
def val_pictures(shared_data: Path) -> tuple[str | Path, ...]:
    roads = shared_data / "roadway_dev"
    split = f"{shared_data / 'splits_dev.json'}:val"
    return ("--images", roads / "images", "--masks", roads / "masks", "--split", split)


@pytest.mark.slow
def test_a_run_leaves_every_stages_files_and_a_contact_sheet(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir()) == [
        "contact_sheet.png",
        "joint",
        "large",
        "run.json",
        "small",
    ]
    for stage in ("small", "large", "joint"):
        names = {path.name for path in (trained / stage).iterdir()}
        labels = {"early_labels.npz", "final_labels.npz"} if stage == "small" else set()
        assert names == labels | {
            "best.json",
            "best.safetensors",
            "curves.png",
            "last.json",
            "last.safetensors",
            "log.csv",
            "state.safetensors",
            "tensorboard",
        }
        with (trained / stage / "log.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["0", "1"]


@pytest.mark.slow
def test_the_manifest_says_what_the_model_was_made_of(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    assert manifest.software["recipe_seed"] == "3"
    assert [(s.name, s.pictures) for s in manifest.trained_on] == [
        ("dry_lums", 2),
        ("rendered", 2),
        ("roadway_dev", 2),
        ("roadway_unlabelled", 3),
        ("simulated", 4),
    ]


@pytest.mark.slow
def test_the_manifests_figures_are_those_that_anyone_gets_from_the_stored_weights(
    bundle: Path, val_pictures: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("evaluate", "--bundle", bundle, *val_pictures, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    manifest = load_bundle(bundle).manifest
    assert figures["iou"] == pytest.approx(manifest.metrics["roadway_dev_val_iou"], abs=1e-3)
    assert figures["pictures"] == 1
    assert figures["threshold"] == manifest.water.threshold


@pytest.mark.slow
def test_evaluating_draws_what_it_is_asked_for(
    bundle: Path, val_pictures: tuple[str | Path, ...], tmp_path: Path
) -> None:
    curve, sheet = tmp_path / "curve.png", tmp_path / "sheet.png"
    wanted = ("--curve", curve, "--sheet", sheet, "--branch", "small")
    assert call("evaluate", "--bundle", bundle, *val_pictures, *wanted) == 0
    assert cv2.imread(str(curve)) is not None
    assert cv2.imread(str(sheet)) is not None
    assert str(bundle) in json.loads(curve.with_suffix(".json").read_text())


@pytest.mark.slow
def test_a_run_that_was_interrupted_is_not_exported(
    trained: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "bundle"
    shutil.copytree(trained, run)
    progress = load_progress(run / "joint")
    assert progress is not None
    save_progress(run / "joint", replace(progress, is_finished=False))
    assert call("export", run, "--data", shared_data, "--out", out) == 78
    assert (
        "run: stage joint is not finished; run lsm-train fit again" in capsys.readouterr().err
    )
    assert not out.exists()


@pytest.mark.slow
def test_figures_for_people_say_what_is_undefined(
    bundle: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shared_data / "dry_lums" / "images"
    assert call("evaluate", "--bundle", bundle, "--images", images, "--per-image") == 0
    out = capsys.readouterr().out
    assert "recall        undefined" in out
    assert "lums_1" in out


@pytest.mark.slow
def test_a_finished_run_can_be_run_again_and_is_left_as_it_is(
    trained: Path, shared_data: Path, debug_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in trained.rglob("*.safetensors")}
    folder = ("--data", shared_data, "--out", trained)
    assert call("fit", debug_recipe, *folder, "--seed", "3") == 0
    assert capsys.readouterr().out.strip() == str(trained)
    assert {path: path.read_bytes() for path in trained.rglob("*.safetensors")} == before
    assert call("fit", debug_recipe, *folder, "--seed", "4") == 78
    assert "choose another folder with --out" in capsys.readouterr().err


@pytest.mark.slow
def test_stages_of_an_equal_run_are_taken_over(
    trained: Path, shared_data: Path, debug_recipe: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "run", "--seed", "3", "--reuse", trained)
    assert call("fit", debug_recipe, "--data", shared_data, *out) == 0
    for name in ("small", "large", "joint"):
        one, other = (run / name / "best.safetensors" for run in (trained, tmp_path / "run"))
        assert one.read_bytes() == other.read_bytes()


def test_a_damaged_picture_stops_training_before_it_starts(
    debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = write_data(tmp_path / "data"), tmp_path / "run"
    (data / "dry_lums" / "images" / "lums_2.jpg").write_bytes(b"no picture")
    assert call("fit", debug_recipe, "--data", data, "--out", folder) == 2
    assert "lums_2.jpg: is not a picture, or is damaged" in capsys.readouterr().err
    assert not folder.exists()


def test_an_unknown_part_in_a_recipe_is_named_with_the_known_ones(
    shared_data: Path, debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(debug_recipe.read_text().replace("small_model: lite", "small_model: big"))
    assert call("fit", recipe, "--data", shared_data, "--out", tmp_path / "run") == 78
    assert "unknown small_model 'big'; known are lite" in capsys.readouterr().err


def test_a_fault_of_ours_is_exit_code_70_with_its_traceback() -> None:
    code = (
        "import sys; from lsm_train import cli;"
        "cli.app.command('fault')(lambda: int('water'));"
        "sys.argv = ['lsm-train', 'fault'];"
        "cli.main()"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert result.returncode == 70
    assert "ValueError: invalid literal for int()" in result.stderr


def test_a_run_folder_that_cannot_be_made_is_named(
    shared_data: Path, debug_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "run"
    assert call("fit", debug_recipe, "--data", shared_data, "--out", folder) == 78
    assert "file/run: cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(
            ("evaluate", "--bundle", "compct", "--images", "."),
            78,
            "did you mean 'compact'",
            id="bundle",
        ),
        pytest.param(("fit", "nowhere.yaml"), 78, "nowhere.yaml: cannot be read", id="recipe"),
        pytest.param(
            ("export", "nowhere", "--out", "x"), 78, "nowhere: holds no usable run", id="run"
        ),
        pytest.param(("evaluate",), 2, "Missing option", id="usage"),
        pytest.param(
            ("fit", "r.yaml", "--device", "tpu"), 2, "'tpu' is not one of", id="device"
        ),
        pytest.param(
            ("evaluate", "--bundle", "compact", "--images", ".", "--curve", "curve.json"),
            2,
            "curve.json: end its name in .png",
            id="curve",
        ),
        pytest.param(
            ("evaluate", "--bundle", "x", "--images", ".", "--branch", "both"),
            2,
            "'both' is not one of",
            id="branch",
        ),
    ],
)
def test_bad_input_ends_with_a_clear_error_and_its_status(
    arguments: tuple[str, ...], status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == status
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--images", "nowhere"), "nowhere: no such folder", id="images"),
        pytest.param(
            ("--images", ".", "--split", "nowhere:val"),
            "nowhere: cannot be read as splits",
            id="split",
        ),
    ],
)
def test_pictures_that_cannot_be_used_end_an_evaluation(
    bundle: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("evaluate", "--bundle", bundle, *arguments) == 2
    assert message in capsys.readouterr().err
