from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lsm_train.data import WATER, Picture, load_dataset, read_pictures, shrink
from lsm_train.errors import DataError


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


def test_masks_without_a_picture_are_listed_too(data: Path) -> None:
    folder = data / "dry_lums"
    (folder / "images" / "lums_1.jpg").unlink()
    with pytest.raises(DataError) as caught:
        load_dataset(data, "dry_lums", None, 768)
    water, road = str(caught.value).splitlines()
    assert "masks/lums_1.png: has no picture" in water
    assert "road_masks/lums_1.png: has no picture" in road


def test_two_pictures_of_one_stem_are_refused(data: Path) -> None:
    images = data / "dry_lums" / "images"
    cv2.imwrite(str(images / "lums_1.png"), np.zeros((96, 128, 3), np.uint8))
    with pytest.raises(DataError, match=r"lums_1\.png: has the stem of lums_1\.jpg"):
        load_dataset(data, "dry_lums", None, 768)


def write_class_masks(folder: Path) -> None:
    """One picture whose left half is water, in UW-Bench's layout: class numbers 0 and 1."""
    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True)
    cv2.imwrite(str(folder / "JPEGImages" / "a_1.jpg"), np.zeros((8, 8, 3), np.uint8))
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :4] = 1
    cv2.imwrite(str(folder / "SegmentationClass" / "a_1.png"), mask)


def test_class_numbers_are_water_in_their_own_folder_and_an_error_elsewhere(
    tmp_path: Path,
) -> None:
    write_class_masks(tmp_path)
    images, masks = tmp_path / "JPEGImages", tmp_path / "SegmentationClass"
    (picture,) = read_pictures(images, masks=masks)
    assert (picture.labels == WATER).mean() == 0.5
    masks.rename(tmp_path / "masks")
    with pytest.raises(DataError, match="go up to 1, but water is over 127"):
        list(read_pictures(images, masks=tmp_path / "masks"))


def test_a_whole_data_set_may_stand_for_its_folder_of_pictures(tmp_path: Path) -> None:
    write_class_masks(tmp_path)
    (picture,) = read_pictures(tmp_path, masks=None)
    assert (picture.labels == WATER).mean() == 0.5


@pytest.mark.parametrize("hw", [(1, 5000), (5000, 1)])
def test_the_thinnest_pictures_keep_a_row_and_a_column(hw: tuple[int, int]) -> None:
    thin = Picture("", "thin", np.zeros((*hw, 3), np.uint8), np.zeros(hw, np.uint8))
    small = shrink(thin, 768)
    assert sorted(small.labels.shape) == [1, 768]
    assert small.image.shape == (*small.labels.shape, 3)


def test_of_a_whole_data_set_nothing_that_does_not_belong_is_passed_over(data: Path) -> None:
    images = data / "roadway_dev" / "images"
    (images / "road_1.jpg").rename(images / "lane_1.jpg")
    with pytest.raises(DataError, match=r"masks/road_1\.png: has no picture"):
        read_pictures(data / "roadway_dev", masks=None, stems=["road_2"])


def test_road_masks_may_be_named_for_a_whole_data_set_that_has_none(data: Path) -> None:
    roads = data / "dry_lums" / "road_masks"
    with pytest.raises(DataError, match=r"dry_lums: has road masks of its own; leave out"):
        read_pictures(data / "dry_lums", masks=None, roads=roads)
    moved = roads.rename(data / "roads")
    for picture in read_pictures(data / "dry_lums", masks=None, roads=moved):
        assert picture.road is not None
        assert picture.road.mean() == 0.5
