from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lsm_train.data import (
    WATER,
    list_images,
    load_dataset,
    read_pictures,
    read_splits,
    read_stems,
)
from lsm_train.errors import DataError


def test_splits_forget_remarks_behind_the_data_sets_name(data: Path) -> None:
    assert read_splits(data)["train"]["dry_lums"] == ("lums_1", "lums_2")


def test_a_missing_splits_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"splits_dev\.json: cannot be read as splits"):
        read_splits(tmp_path)


def test_a_set_without_masks_is_dry(data: Path) -> None:
    (picture, *_) = read_pictures(data / "roadway_dev" / "images", masks=None)
    assert not picture.labels.any()


def test_masks_and_roads_come_with_their_pictures(data: Path) -> None:
    (flooded, *_) = load_dataset(data, "roadway_dev", None, 768)
    (dry, *_) = load_dataset(data, "dry_lums", None, 768)
    assert (flooded.labels == WATER).mean() == 0.5
    assert flooded.road is None
    assert dry.road is not None
    assert dry.road.mean() == 0.5


def test_large_pictures_are_shrunk_with_their_masks(data: Path) -> None:
    (picture, *_) = load_dataset(data, "dry_lums", None, 64)
    assert picture.image.shape == (48, 64, 3)
    assert picture.labels.shape == (48, 64)
    assert picture.road is not None
    assert picture.road.shape == (48, 64)


def test_pictures_are_red_green_blue(data: Path) -> None:
    (picture, *_) = load_dataset(data, "roadway_dev", None, 768)
    red, _, blue = picture.image[90, 64]
    assert blue > red


def test_every_damaged_pair_is_listed_by_name_at_once(data: Path) -> None:
    folder = data / "roadway_dev"
    (folder / "images" / "road_1.jpg").write_bytes(b"no picture")
    (folder / "masks" / "road_2.png").unlink()
    cv2.imwrite(str(folder / "masks" / "road_3.png"), np.zeros((10, 20), np.uint8))
    with pytest.raises(DataError) as caught:
        load_dataset(data, "roadway_dev", None, 768)
    first, second, third = str(caught.value).splitlines()
    assert "road_1.jpg: is not a picture, or is damaged" in first
    assert "road_2.png: cannot be read" in second
    assert "road_3.png: is (20, 10) pixels, its picture (128, 96)" in third


def test_an_empty_file_is_a_damaged_picture(data: Path) -> None:
    (data / "dry_lums" / "images" / "lums_1.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"lums_1\.jpg: is not a picture"):
        load_dataset(data, "dry_lums", None, 768)


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        pytest.param({"road_1", "road_9"}, "lacks 1 of the listed pictures: road_9", id="stem"),
        pytest.param(set(), "has no pictures", id="none-wanted"),
    ],
)
def test_pictures_that_are_not_there_are_named(
    data: Path, stems: set[str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list_images(data / "roadway_dev" / "images", stems)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")


def test_a_split_selects_the_pictures_of_the_folder(data: Path) -> None:
    split = f"{data / 'splits_dev.json'}:val"
    assert read_stems(split, data / "roadway_dev" / "images") == {"road_3"}


@pytest.mark.parametrize(
    ("part", "dataset", "message"),
    [
        pytest.param("test", "roadway_dev", "no such part.*has train, val", id="unknown-part"),
        pytest.param("val", "dry_lums", "has none of the pictures", id="other-set"),
    ],
)
def test_a_split_that_selects_nothing_is_refused(
    data: Path, part: str, dataset: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_stems(f"{data / 'splits_dev.json'}:{part}", data / dataset / "images")
