"""The file of weak labels: what it may say, and that all that is wrong with it is listed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsm_train.errors import DataError
from lsm_train.weak_labels import WeakLabel, read_weak_labels


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.png"):
        cv2.imwrite(str(folder / name), np.zeros((20, 40, 3), np.uint8))
    mask = np.zeros((20, 40), np.uint8)
    mask[10:] = 255
    cv2.imwrite(str(tmp_path / "coarse.png"), mask)
    cv2.imwrite(str(tmp_path / "small.png"), mask[:10])
    return folder


def read(images: Path, **entries: object) -> dict[str, WeakLabel]:
    """Read a file of these entries; ``a_jpg`` is ``a.jpg``."""
    named = {name.replace("_", "."): entry for name, entry in entries.items()}
    path = images.parent / "weak.json"
    path.write_text(json.dumps({"version": 1, "images": named}))
    return read_weak_labels(path, images)


def test_boxes_clicks_and_masks_are_read(images: Path) -> None:
    labels = read(
        images,
        a_jpg={"boxes": [[0.1, 0.5, 0.9, 1.0]], "points": {"dry": [[0.5, 0.5]]}},
        b_jpg={"points": {"water": [[0.25, 0.75]], "dry": []}},
        c_png={"mask": "coarse.png"},
    )
    assert {stem: label.kind for stem, label in labels.items()} == {
        "a": "boxes",
        "b": "points",
        "c": "mask",
    }
    assert labels["a"].boxes == ((0.1, 0.5, 0.9, 1.0),)
    assert labels["a"].dry_points == ((0.5, 0.5),)
    assert labels["c"].mask is not None
    assert labels["c"].mask.mean() == 0.5


@pytest.mark.parametrize("verdict", ["no_water", "wet_only", "reflection", "shadow"])
def test_operators_rejections_mean_dry(images: Path, verdict: str) -> None:
    assert read(images, a_jpg={"verdict": verdict})["a"].is_dry


@pytest.mark.parametrize("verdict", ["water", "true_positive"])
def test_operators_confirmations_mean_water_somewhere(images: Path, verdict: str) -> None:
    assert read(images, a_jpg={"verdict": verdict})["a"].is_wet


def test_the_verdict_other_says_nothing(images: Path) -> None:
    assert read(images, a_jpg={"verdict": "other"}) == {}


BAD: dict[str, tuple[object, str]] = {
    "misspelt-key": ({"box": []}, "a.jpg: box: unknown key"),
    "nothing-said": ({}, "a.jpg: says nothing; remove it"),
    "pixels": ({"boxes": [[10, 20, 30, 40]]}, r"boxes\.0\.0: Input should be less"),
    "inside-out": ({"boxes": [[0.9, 0.1, 0.1, 0.5]]}, "left, top, right, bottom in this order"),
    "box-and-mask": (
        {"boxes": [[0, 0, 1, 1]], "mask": "coarse.png"},
        "either 'boxes' or a 'mask'",
    ),
    "dry-with-water": (
        {"boxes": [[0, 0, 1, 1]], "verdict": "shadow"},
        "'shadow' says there is no water, but some is marked",
    ),
    "unknown-verdict": ({"verdict": "maybe"}, "verdict: Input should be 'water'"),
    "no-mask": ({"mask": "none.png"}, r"none\.png: cannot be read"),
    "small-mask": ({"mask": "small.png"}, r"is \(40, 10\) pixels, its picture \(40, 20\)"),
    "mask-is-no-png": ({"mask": "coarse.tiff"}, r"must be a \.png"),
    "exact-without-mask": (
        {"exact": True, "verdict": "water"},
        "'exact' says something about a 'mask', and there is none",
    ),
    "not-an-object": ([1], "a.jpg: Input should be a valid dictionary"),
}


@pytest.mark.parametrize(("entry", "message"), BAD.values(), ids=BAD)
def test_a_bad_entry_is_named_with_what_is_wrong(
    images: Path, entry: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(images, a_jpg=entry)


def test_all_bad_entries_are_listed_at_once(images: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(images, a_jpg={"box": []}, z_jpg={"verdict": "water"}, b_jpg={"verdict": "x"})
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["a.jpg", "z.jpg", "b.jpg"]
    assert "no such picture in" in lines[1]


FILES = {
    "broken": ("{", "cannot be read as weak labels"),
    "other-version": ('{"version": 2, "images": {}}', 'is neither COCO nor {"version": 1'),
    "no-object": ("[]", "is neither COCO nor"),
    "images-missing": ('{"version": 1}', "needs 'images'"),
    "stray-key": ('{"version": 1, "images": {}, "by": 1}', "nothing else: by"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_file_of_another_form_is_refused(images: Path, text: str, message: str) -> None:
    path = images.parent / "weak.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_weak_labels(path, images)


def coco(images: Path, bbox: object, image_id: int = 1) -> dict[str, WeakLabel]:
    path = images.parent / "coco.json"
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 40, "height": 20},
            {"id": 2, "file_name": "b.jpg", "width": 40, "height": 20},
        ],
        "annotations": [{"image_id": image_id, "category_id": 7, "bbox": bbox}],
        "categories": [{"id": 7, "name": "water"}],
    }
    path.write_text(json.dumps(content))
    return read_weak_labels(path, images)


def test_coco_boxes_are_read_and_a_listed_picture_without_one_is_dry(images: Path) -> None:
    labels = coco(images, [10, 5, 20, 15])
    assert labels["a"].boxes == ((0.25, 0.25, 0.75, 1.0),)
    assert labels["b"].is_dry
    assert "c" not in labels


@pytest.mark.parametrize(
    ("bbox", "image_id", "message"),
    [
        ([10, 5, 40, 10], 1, "a: annotations.0: bbox .* lies outside"),
        ([10, 5, 0, 10], 1, "is empty or"),
        ([10, 5, 10, 10], 9, "no image has id 9"),
        ("x", 1, r"annotations\.0\.bbox"),
    ],
)
def test_bad_coco_boxes_are_named(
    images: Path, bbox: object, image_id: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        coco(images, bbox, image_id)
