from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lsm_train.data import WATER, load_dataset
from lsm_train.errors import DataError
from lsm_train.layouts import find_layout, list_images

HW = (24, 32)


def write(path: Path, pixels: npt.NDArray[np.uint8 | np.uint16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def write_image(path: Path) -> None:
    write(path, np.full((*HW, 3), 90, np.uint8))


@pytest.fixture
def uw_bench(tmp_path: Path) -> Path:
    folder = tmp_path / "uw"
    write_image(folder / "JPEGImages" / "test1_350.jpg")
    return folder


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.eye(*HW, dtype=np.uint8), id="grey-0-and-1"),
        pytest.param(np.eye(*HW, dtype=np.uint8) * 255, id="grey-0-and-255"),
        pytest.param(np.eye(*HW, dtype=np.uint16), id="16-bit"),
        pytest.param(
            np.dstack([np.zeros((*HW, 2), np.uint8), np.eye(*HW, dtype=np.uint8) * 128]),
            id="red-on-black",
        ),
        pytest.param(
            np.dstack([np.eye(*HW, dtype=np.uint8) * 9] * 3 + [np.full(HW, 255, np.uint8)]),
            id="with-alpha",
        ),
    ],
)
def test_in_uw_benchs_layout_everything_over_black_is_water(
    uw_bench: Path, mask: npt.NDArray[np.uint8 | np.uint16]
) -> None:
    write(uw_bench / "SegmentationClass" / "test1_350.png", mask)
    (picture,) = load_dataset(uw_bench.parent, "uw", None, 768)
    assert picture.name == "test1_350"
    np.testing.assert_array_equal(picture.labels == WATER, np.eye(*HW) > 0)


def test_in_our_layout_only_bright_pixels_are_water(tmp_path: Path) -> None:
    write_image(tmp_path / "ours" / "images" / "a.jpg")
    values = np.linspace(0, 255, HW[0] * HW[1]).reshape(HW).astype(np.uint8)
    write(tmp_path / "ours" / "masks" / "a.png", values)
    (picture,) = load_dataset(tmp_path, "ours", None, 768)
    np.testing.assert_array_equal(picture.labels == WATER, values > 127)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [0, 255], ids=["black", "white"])
def test_what_is_transparent_in_a_mask_is_no_water_whatever_its_colour(
    tmp_path: Path, colour: int, depth: type[np.uint8 | np.uint16]
) -> None:
    wet = np.eye(*HW) > 0
    most = np.iinfo(depth).max
    mask = np.full((*HW, 4), colour * (most // 255), depth)
    mask[wet, :3] = most
    mask[..., 3] = wet * most
    write_image(tmp_path / "ours" / "images" / "a.jpg")
    write(tmp_path / "ours" / "masks" / "a.png", mask)
    (picture,) = load_dataset(tmp_path, "ours", None, 768)
    np.testing.assert_array_equal(picture.labels == WATER, wet)


def test_a_mask_that_is_black_on_nothing_is_refused(tmp_path: Path) -> None:
    mask = np.zeros((*HW, 4), np.uint8)
    mask[4:, :, 3] = 255
    write_image(tmp_path / "ours" / "images" / "a.jpg")
    write(tmp_path / "ours" / "masks" / "a.png", mask)
    with pytest.raises(DataError, match=r"a\.png: is black on nothing; save water as white"):
        load_dataset(tmp_path, "ours", None, 768)


def test_class_numbers_of_one_bit_are_refused_because_decoding_changes_them(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "ours"
    write_image(folder / "images" / "a.jpg")
    (folder / "class_masks").mkdir()
    (folder / "classes.txt").write_text("dry\nwater\n")
    cv2.imwrite(
        str(folder / "class_masks" / "a.png"),
        np.eye(*HW, dtype=np.uint8) * 255,
        [cv2.IMWRITE_PNG_BILEVEL, 1],
    )
    with pytest.raises(DataError, match=r"a\.png: is no grey picture of 8 bit; save class"):
        load_dataset(tmp_path, "ours", None, 768)


def test_in_cocos_layout_water_comes_from_the_annotations(tmp_path: Path) -> None:
    write_image(tmp_path / "coco" / "images" / "a.jpg")
    write_image(tmp_path / "coco" / "images" / "dry.jpg")
    square = [4, 4, 12, 4, 12, 12, 4, 12]
    content = {
        "images": [
            {"id": 7, "file_name": "images/a.jpg", "height": 24, "width": 32},
            {"id": 8, "file_name": "dry.jpg", "height": 24, "width": 32},
        ],
        "categories": [{"id": 3, "name": "water"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": [square]}],
    }
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(content))
    wet, dry = load_dataset(tmp_path, "coco", None, 768)
    expected = np.zeros(HW, np.bool_)
    expected[4:12, 4:12] = True
    np.testing.assert_array_equal(wet.labels == WATER, expected)
    assert not dry.labels.any()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        pytest.param((), "no such folder", id="missing"),
        pytest.param(("pictures/",), "has neither images/ nor JPEGImages/", id="unknown"),
        pytest.param(("JPEGImages/",), "has neither", id="uw-bench-without-masks"),
        pytest.param(
            ("images/", "masks/", "annotations.json"), "has both masks/ and", id="two-at-once"
        ),
        pytest.param(("images/", "annotations.json"), "cannot be read as COCO", id="no-json"),
    ],
)
def test_a_folder_without_a_clear_layout_is_refused(
    tmp_path: Path, made: tuple[str, ...], message: str
) -> None:
    folder = tmp_path / "set"
    for name in made:
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith("/"):
            (folder / name).mkdir()
        else:
            (folder / name).touch()
    with pytest.raises(DataError, match=message):
        find_layout(folder)


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


def test_pictures_whose_names_are_no_text_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "stra\u00dfe_1.jpg")
    assert [path.stem for path in list_images(tmp_path)] == ["stra\u00dfe_1"]
    old = tmp_path / os.fsdecode(b"stra\xdfe_2.jpg")  # as an archive made in Latin-1 unpacks
    (tmp_path / "stra\u00dfe_1.jpg").rename(old)
    with pytest.raises(
        DataError, match=r"names that are not UTF-8: 'stra\\udcdfe_2.jpg'; rename"
    ):
        list_images(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
