"""What labels leave possible, from files and from synthesis."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lsm_train.data import IGNORED, WATER, Picture, load_dataset, shrink, with_dry_roads
from lsm_train.errors import DataError
from lsm_train.surfaces import (
    DRY,
    DRY_ROAD,
    LABELS,
    OFF_ROAD,
    OTHER,
    ROAD,
    VEHICLE,
    WET_ROAD,
    class_of_surface,
    possible_classes,
    water_labels,
)
from lsm_train.synthesis import dried, flooded, wet

FIVE = ("other", "dry_road", "wet_road", "water", "vehicle")


def test_each_label_leaves_the_classes_possible_that_it_names() -> None:
    possible = possible_classes(FIVE)

    def names(label: int) -> set[str]:
        return {name for name, may in zip(FIVE, possible[label], strict=True) if may}

    assert names(DRY) == set(FIVE) - {"water"}
    assert names(ROAD) == {"dry_road", "wet_road"}
    assert names(OFF_ROAD) == {"other", "vehicle"}
    assert names(IGNORED) == set(FIVE)
    for label in (WATER, DRY_ROAD, WET_ROAD, VEHICLE, OTHER):
        assert len(names(label)) == 1


def test_fewer_classes_take_what_they_are_not_told_apart_from() -> None:
    assert class_of_surface(("other", "water")) == {
        "water": 1,
        "dry_road": 0,
        "wet_road": 0,
        "vehicle": 0,
        "other": 0,
    }
    three = class_of_surface(("water", "road", "other"))
    assert (three["dry_road"], three["wet_road"], three["vehicle"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("water", "mud", "other"), "unknown class 'mud'"),
        (("water", "road"), "no class takes other, vehicle; add 'other'"),
        (("water", "road", "dry_road", "other"), "dry_road belongs to two classes"),
    ],
)
def test_classes_that_do_not_part_the_world_are_refused(
    classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        class_of_surface(classes)


def test_a_model_of_water_alone_sees_dry_water_and_ignored() -> None:
    labels = torch.tensor([number for number, _ in LABELS.values()], dtype=torch.uint8)
    found = dict(zip(LABELS, water_labels(labels).tolist(), strict=True))
    assert found["water"] == WATER
    assert found["ignored"] == IGNORED
    assert {found[name] for name in LABELS if name not in {"water", "ignored"}} == {DRY}


def test_a_road_mask_says_road_or_not_and_a_dry_set_that_it_is_dry(shared_data: Path) -> None:
    picture = load_dataset(shared_data, "dry_lums", None, 768)[0]
    assert picture.road is not None
    assert (picture.all_labels == np.where(picture.road, ROAD, OFF_ROAD)).all()
    dry = with_dry_roads(picture)
    assert (dry.all_labels == np.where(picture.road, DRY_ROAD, OFF_ROAD)).all()
    assert not picture.labels.any()


def test_a_water_mask_says_water_or_not(shared_data: Path) -> None:
    picture = load_dataset(shared_data, "roadway_dev", None, 768)[0]
    assert set(np.unique(picture.all_labels)) == {DRY, WATER}
    assert with_dry_roads(picture) is picture


def test_synthesis_knows_the_road_that_it_has_made(shared_data: Path) -> None:
    flood = load_dataset(shared_data, "roadway_dev", None, 768)[0]
    road = with_dry_roads(load_dataset(shared_data, "dry_lums", None, 768)[0])
    assert road.road is not None
    made = set()
    for seed in range(12):
        shiny = wet(road, np.random.default_rng(seed)).all_labels
        assert (shiny == np.where(road.road, WET_ROAD, OFF_ROAD)).all()
        under = flooded(road, flood, np.random.default_rng(seed)).all_labels
        assert set(np.unique(under[road.road])) <= {WATER, DRY_ROAD}
        assert (under[~road.road] == OFF_ROAD).all()
        ground = dried(flood, road, np.random.default_rng(seed)).all_labels
        assert (ground[flood.labels != WATER] == DRY).all()
        made |= set(np.unique(ground[flood.labels == WATER]))
    assert made == {WATER, DRY_ROAD, WET_ROAD}


def write_class_set(folder: Path, mask: np.ndarray, names: str) -> Path:
    for kind in ("images", "class_masks"):
        (folder / "own" / kind).mkdir(parents=True)
    cv2.imwrite(str(folder / "own/images/a.png"), np.zeros((*mask.shape[:2], 3), np.uint8))
    cv2.imwrite(str(folder / "own/class_masks/a.png"), mask)
    (folder / "own" / "classes.txt").write_text(names)
    return folder


def read_class_set(folder: Path) -> Picture:
    return load_dataset(folder, "own", None, 768)[0]


def test_class_masks_are_read_by_the_names_of_their_numbers(tmp_path: Path) -> None:
    mask = np.repeat(np.array([[0, 1, 2, 3, 255]], np.uint8), 4, axis=0)
    picture = read_class_set(write_class_set(tmp_path, mask, "off_road\nwater\nroad\ndry\n"))
    assert picture.all_labels[0].tolist() == [OFF_ROAD, WATER, ROAD, DRY, IGNORED]
    assert picture.labels[0].tolist() == [DRY, WATER, DRY, DRY, IGNORED]
    assert picture.road is not None
    assert picture.road[0].tolist() == [False, False, True, False, False]
    assert shrink(picture, 3).all_labels.shape == (2, 3)


@pytest.mark.parametrize(
    ("mask", "names", "message"),
    [
        (np.full((4, 4), 2, np.uint8), "other\nwater\n", "holds 2, but classes.txt has 2"),
        (np.zeros((4, 4), np.uint8), "other\nmud\n", r"classes.txt:2: unknown name 'mud'"),
        (np.zeros((4, 4, 3), np.uint8), "other\n", "no grey picture of 8 bit"),
    ],
    ids=["number", "name", "colours"],
)
def test_class_masks_that_cannot_be_meant_are_refused(
    tmp_path: Path, mask: np.ndarray, names: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_class_set(write_class_set(tmp_path, mask, names))


def test_class_masks_beside_masks_of_water_are_refused(tmp_path: Path) -> None:
    folder = write_class_set(tmp_path, np.zeros((4, 4), np.uint8), "other\n")
    (folder / "own" / "masks").mkdir()
    with pytest.raises(DataError, match="has both class_masks/ and masks"):
        read_class_set(folder)
