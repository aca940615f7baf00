from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsm_train.config import load_recipe
from lsm_train.errors import RecipeError


@pytest.fixture
def edited(tmp_path: Path, debug_recipe: Path) -> Callable[[str, str], Path]:
    def edit(old: str, new: str) -> Path:
        text = debug_recipe.read_text()
        assert old in text
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace(old, new, 1))
        return path

    return edit


@pytest.mark.parametrize("name", ["compact.yaml", "debug.yaml"])
def test_the_recipes_in_the_repository_are_valid(debug_recipe: Path, name: str) -> None:
    assert load_recipe(debug_recipe.parent / name).name == name.removesuffix(".yaml")


@pytest.mark.parametrize("name", ["dry_camvid", "eval_dhaka_dry", "eval_dhaka_wet"])
def test_the_shipped_recipe_takes_nothing_from_the_evaluation_sets(
    debug_recipe: Path, name: str
) -> None:
    assert name not in (debug_recipe.parent / "compact.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "epochs: 2", "epoch: 2", r":12: epoch: unknown key", id="misspelt-key-has-its-line"
        ),
        pytest.param("epochs: 2", "epochs: 0", r":12: epochs: .*greater", id="out-of-range"),
        pytest.param(
            "input_size_px: 64", "input_size_px: 65", r"multiple of 32", id="odd-input-size"
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
    path = edited("epochs: 2\nsteps_per_epoch: 2", "epochs: none\nsteps_per_epoch: none")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: cannot be read"):
        load_recipe(tmp_path / "none.yaml")
