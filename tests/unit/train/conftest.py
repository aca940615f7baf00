from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

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


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of data sets like the real one, only tiny and generated."""
    folder = tmp_path / "data"
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


@pytest.fixture(scope="session")
def debug_recipe() -> Path:
    return REPOSITORY / "config" / "train" / "debug.yaml"
