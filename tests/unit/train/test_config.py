from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lsm_train.adapt_config import AdaptRecipe
from lsm_train.checkpoint import Run
from lsm_train.errors import RecipeError
from lsm_train.recipe_file import load_recipe, read_recipe
from tests.unit.train.conftest import REPOSITORY, EditRecipe

FOLDER = REPOSITORY / "config" / "train"
ADAPTATIONS = sorted((FOLDER / "adapt").glob("*.yaml"))
RECIPES = sorted(set(FOLDER.rglob("*.yaml")) - set(ADAPTATIONS))


@pytest.fixture
def edited(tmp_path: Path, debug_recipe: Path) -> Callable[[str, str], Path]:
    def edit(old: str, new: str) -> Path:
        text = debug_recipe.read_text()
        assert old in text
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return edit


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_in_the_repository_are_valid(path: Path) -> None:
    load_recipe(path)


@pytest.mark.parametrize("path", ADAPTATIONS, ids=lambda path: path.stem)
def test_the_adaptations_in_the_repository_are_valid(path: Path) -> None:
    read_recipe(path, AdaptRecipe)


def test_the_default_adaptation_is_what_is_done_without_a_recipe() -> None:
    assert read_recipe(FOLDER / "adapt" / "default.yaml", AdaptRecipe) == AdaptRecipe()


@pytest.mark.parametrize("name", ["dry_camvid", "eval_dhaka_dry", "eval_dhaka_wet"])
def test_the_shipped_recipe_takes_nothing_from_the_evaluation_sets(
    debug_recipe: Path, name: str
) -> None:
    assert name not in (debug_recipe.parent / "compact.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "{epochs: 2",
            "{epoch: 2",
            r":20: stages\.small\.epoch: unknown key",
            id="misspelt-key-has-its-line",
        ),
        pytest.param(
            "epochs: 2",
            "epochs: 0",
            r":20: stages\.small\.epochs: .*greater",
            id="out-of-range",
        ),
        pytest.param(
            "input_size_px: 64", "input_size_px: 65", r"multiple of 32", id="odd-input-size"
        ),
        pytest.param(
            "  joint:", "  one_stage:", r"name either 'one_stage' alone, or", id="strategies"
        ),
        pytest.param(
            "  joint: {", "  # {", r"this model needs 'stages\.joint'", id="missing-stage"
        ),
        pytest.param(
            "  small: {", "  # {", r"this model needs 'stages\.small'", id="nobody-labels"
        ),
        pytest.param(
            "small_model: lite",
            "small_model: null",
            r"'spatial_prompt' needs a 'small_model'",
            id="no-small-model",
        ),
        pytest.param(
            ", donors: [dry_lums]",
            "",
            r"sources.1: kind 'dried' needs 'donors'",
            id="no-donors",
        ),
        pytest.param(
            "datasets: [dry_lums]}",
            "datasets: [dry_lums], donors: [x]}",
            r"kind 'wet' takes no 'donors'",
            id="needless-donors",
        ),
        pytest.param("dry_lums: MIT", "", r"'licences' does not name dry_lums", id="licence"),
        pytest.param(
            "[rendered]", "[dry_lums]", r"section 'rendered'.*need each other", id="rendered"
        ),
        pytest.param(
            "{epochs: 2",
            "{prompt_noise: {confidence: 1, error: 1, dropped_share: 0}, epochs: 2",
            r"'prompt_noise' belongs to stage 'joint', not to 'small'",
            id="noise-on-no-prompt",
        ),
        pytest.param(
            "  encoder_adapter:",
            "  encoder_tuning: {kind: low_rank, rank: 65}\n  encoder_adapter:",
            r"model\.encoder_tuning\.low_rank\.rank: .*less than or equal to 64",
            id="rank-that-is-not-low",
        ),
        pytest.param(
            "name: debug", "name: other\nname: debug", r"yaml:3: name: is there", id="key-twice"
        ),
        pytest.param(
            "large: {epochs: 2,",
            "large: {epochs: 2, epochs: 3,",
            r"recipe\.yaml:\d+: epochs: is there twice",
            id="inner-key-twice",
        ),
        pytest.param(
            'version: "0.0.1"', "version: 2026-02-30", r"cannot be read \(day is", id="no-date"
        ),
        pytest.param(
            "share: 1,", "share: .inf,", r"sources\.0\.share: .*finite", id="infinite"
        ),
        pytest.param("name: debug", "name: [", r"recipe\.yaml: cannot be read", id="no-yaml"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_where_it_is_wrong(
    edited: Callable[[str, str], Path], old: str, new: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(edited(old, new))


def test_all_problems_of_a_recipe_are_reported_at_once(
    edited: Callable[[str, str], Path],
) -> None:
    path = edited("epochs: 2, steps_per_epoch: 2", "epochs: none, steps_per_epoch: none")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert len(str(caught.value).splitlines()) == 2


def without_prompts(content: dict[str, Any]) -> None:
    content["model"] |= {
        "small_model": None,
        "small_model_say": 0.0,
        "spatial_prompt": None,
        "semantic_prompt": None,
        "style_prompt": False,
        "prompt_combiner": False,
    }
    content["stages"] = {"large": content["stages"]["large"]}
    del content["self_training"]


def in_one_stage(content: dict[str, Any]) -> None:
    content["stages"] = {"one_stage": content["stages"]["joint"]}
    del content["self_training"]


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        pytest.param(lambda _: None, ("small", "large", "joint"), id="two-stage"),
        pytest.param(without_prompts, ("large",), id="sam-adapter"),
        pytest.param(in_one_stage, ("one_stage",), id="one-stage"),
    ],
)
def test_the_stages_follow_from_the_parts_of_the_model(
    change: Callable[[dict[str, Any]], None], stages: tuple[str, ...], edit_recipe: EditRecipe
) -> None:
    assert Run(Path(), edit_recipe(change), seed=0).stages == stages


@pytest.mark.parametrize("stages", ["large", "one_stage"])
def test_self_training_needs_the_stage_whose_model_labels_the_pictures(
    stages: str, edit_recipe: EditRecipe
) -> None:
    def change(content: dict[str, Any]) -> None:
        settings = content["self_training"]
        (without_prompts if stages == "large" else in_one_stage)(content)
        content["self_training"] = settings

    with pytest.raises(ValidationError, match=r"'self_training' needs 'stages\.small'"):
        edit_recipe(change)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read"):
        load_recipe(tmp_path / "none.yaml")
