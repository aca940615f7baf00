from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.bench_small_models import main, parameter_counts
from lsm_train.checkpoint import open_run
from lsm_train.recipe_file import load_recipe

RECIPES = Path(__file__).parents[3] / "config" / "train" / "ablation"
SMALL_MODELS = ("lite", "u2netp", "sinet_v2", "mask_rcnn")


def write_run(folder: Path, *, alone: float, whole: float) -> None:
    """Leave what a finished and judged run leaves, with one figure for everything."""
    open_run(folder, load_recipe(RECIPES / "table2_u2netp.yaml"), seed=0)
    (folder / "contact_sheet.png").touch()
    for branch, value in (("small", alone), ("whole", whole)):
        figures = dict.fromkeys(("f1", "iou", "eval_dhaka_dry", "eval_dhaka_wet"), value)
        (folder / f"{branch}-scores.json").write_text(json.dumps(figures))


def test_the_recipes_differ_in_nothing_but_the_small_model() -> None:
    recipes = {name: load_recipe(RECIPES / f"table2_{name}.yaml") for name in SMALL_MODELS}
    assert {name: recipe.model.small_model for name, recipe in recipes.items()} == {
        name: name for name in SMALL_MODELS
    }
    settings = [recipe.model_dump() for recipe in recipes.values()]
    for one in settings:
        del one["name"], one["model"]["small_model"]
    assert settings == [settings[0]] * 4


def test_the_gain_is_taken_seed_by_seed_from_finished_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "u2netp-seed0", alone=40.0, whole=50.0)
    write_run(tmp_path / "u2netp-seed1", alone=60.0, whole=70.0)
    (tmp_path / "u2netp-seed2").mkdir()  # still being trained
    monkeypatch.setattr(sys, "argv", ["bench", str(tmp_path), "--data", "nowhere"])
    main()
    _, _, alone, whole = capsys.readouterr().out.splitlines()
    assert alone.startswith("| u2netp alone | 1,131,181 | 2 | 50.0 ± 14.1 |")
    assert whole.endswith("| 60.0 ± 14.1 | 10.0 ± 0.0 |")


def test_the_whole_has_the_small_models_parameters_too() -> None:
    small = {}
    rest = set()
    for name in SMALL_MODELS:
        small[name], everything = parameter_counts(load_recipe(RECIPES / f"table2_{name}.yaml"))
        rest.add(everything - small[name])
    assert len(rest) == 1
    assert small["sinet_v2"] == 24_926_642
