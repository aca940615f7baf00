from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train.config import Recipe
from lsm_train.recipe_file import load_recipe

REPOSITORY = Path(__file__).parents[3]
NAMES = {"roadway_dev": ("road_1", "road_2", "road_3"), "dry_lums": ("lums_1", "lums_2")}


def write_picture(folder: Path, name: str, *, water: bool, road: bool) -> None:
    """A grey road whose lower half is under blue ripples when there is water."""
    rng = np.random.default_rng(len(name))
    image = rng.integers(90, 130, (96, 128, 3), np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    if water:
        image[48:] = (200, 120, 60)  # blue-green-red: water is blue here
        image[48::4] = (255, 180, 120)
        mask[48:] = 255
    for kind in ("images", "masks", *(["road_masks"] if road else [])):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image)
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    if road:
        lower_half = np.zeros((96, 128), np.uint8)
        lower_half[48:] = 255
        cv2.imwrite(str(folder / "road_masks" / f"{name}.png"), lower_half)


def write_data(folder: Path) -> Path:
    """Write data sets like the real ones, only tiny."""
    for name in NAMES["roadway_dev"]:
        write_picture(folder / "roadway_dev", name, water=True, road=False)
        write_picture(folder / "roadway_unlabelled", f"more_{name}", water=True, road=False)
    for name in NAMES["dry_lums"]:
        write_picture(folder / "dry_lums", name, water=False, road=True)
    splits = {
        "train": {"roadway_dev": NAMES["roadway_dev"][:2], "dry_lums (dry)": NAMES["dry_lums"]},
        "val": {"roadway_dev": NAMES["roadway_dev"][2:]},
    }
    (folder / "splits_dev.json").write_text(json.dumps(splits))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of data sets like the real one, only tiny and generated."""
    return write_data(tmp_path / "data")


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for tests that only read it."""
    return write_data(tmp_path_factory.mktemp("shared") / "data")


@pytest.fixture(scope="session")
def debug_recipe() -> Path:
    return REPOSITORY / "config" / "train" / "debug.yaml"


EditRecipe = Callable[[Callable[[dict[str, Any]], None]], Recipe]


@pytest.fixture(scope="session")
def edit_recipe(debug_recipe: Path) -> EditRecipe:
    """Return the debug recipe after a function has edited its YAML content."""

    def edit(change: Callable[[dict[str, Any]], None]) -> Recipe:
        content = yaml.safe_load(debug_recipe.read_text())
        change(content)
        return Recipe.model_validate(content)

    return edit


@pytest.fixture(scope="session")
def recipe(debug_recipe: Path) -> Recipe:
    return load_recipe(debug_recipe)


@pytest.fixture(scope="session")
def built_model(recipe: Recipe) -> LsmAdapter:
    torch.manual_seed(0)
    return build_model(recipe.model)


@pytest.fixture
def model(built_model: LsmAdapter) -> LsmAdapter:
    """The debug recipe's model with random weights, a fresh copy for each test."""
    return copy.deepcopy(built_model)
