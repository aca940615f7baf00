from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from lsm_train.coco import (
    CocoBoxes,
    CocoMasks,
    _Annotation,
    _fill,
    read_coco,
    read_coco_boxes,
)
from lsm_train.errors import DataError

Write = Callable[..., Path]
HW = (6, 8)
masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def decoded(segmentation: object, hw: tuple[int, int]) -> npt.NDArray[np.bool_]:
    content = {"image_id": 1, "category_id": 1, "segmentation": segmentation}
    return _fill(_Annotation.model_validate(content).segmentation, hw)


@given(masks)
def test_compressed_run_lengths_are_read_as_pycocotools_writes_them(
    mask: npt.NDArray[np.bool_],
) -> None:
    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    text = runs["counts"]
    assert isinstance(text, bytes)
    segmentation = {"size": mask.shape, "counts": text.decode()}
    np.testing.assert_array_equal(decoded(segmentation, mask.shape), mask)


@given(masks)
def test_uncompressed_run_lengths_are_read_down_the_columns(
    mask: npt.NDArray[np.bool_],
) -> None:
    flat = mask.T.ravel()
    ends = [*np.flatnonzero(np.diff(flat)) + 1, flat.size]
    starts = [0, *ends[:-1]]
    counts = [0] * int(flat[0]) + [int(e - s) for s, e in zip(starts, ends, strict=True)]
    np.testing.assert_array_equal(
        decoded({"size": mask.shape, "counts": counts}, mask.shape), mask
    )


@given(st.text(max_size=12))
def test_any_text_as_run_lengths_is_either_a_mask_or_a_value_error(text: str) -> None:
    try:
        mask = decoded({"size": HW, "counts": text}, HW)
    except ValueError:
        return
    assert mask.shape == HW


def test_the_union_of_polygons_is_water() -> None:
    left, right = [0, 0, 2, 0, 2, 6, 0, 6], [5, 0, 8, 0, 8, 6, 5, 6]
    mask = decoded([left, right], HW)
    np.testing.assert_array_equal(mask.all(axis=0), [1, 1, 0, 0, 0, 1, 1, 1])


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(segmentation: object = None, **changes: list[dict[str, Any]]) -> Path:
        annotation = {"image_id": 1, "category_id": 1, "segmentation": segmentation}
        content = {
            "images": [{"id": 1, "file_name": "a.jpg", "height": 6, "width": 8}],
            "categories": [{"id": 1, "name": "Water"}, {"id": 2, "name": "car"}],
            "annotations": [] if segmentation is None else [annotation],
            **changes,
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        pytest.param([], "an annotation is empty", id="no-polygon"),
        pytest.param([[1, 1, 4, 4]], "a polygon has 4 coordinates", id="two-corners"),
        pytest.param([[1, 1, 4, 1, 4, 4, 1]], "a polygon has 7 coordinates", id="odd"),
        pytest.param([[1, 1, 90, 1, 4, 4]], "lies outside of the picture", id="outside"),
        pytest.param(
            {"size": [8, 6], "counts": [48]},
            r"are for \(6, 8\) pixels, not \(8, 6\)",
            id="other-size",
        ),
        pytest.param({"size": [6, 8], "counts": []}, "must sum to 48, not 0", id="empty"),
        pytest.param({"size": [6, 8], "counts": ""}, "must sum to 48, not 0", id="empty-text"),
        pytest.param({"size": [6, 8], "counts": [40]}, "must sum to 48, not 40", id="short"),
        pytest.param(
            {"size": [6, 8], "counts": [50, -2]}, "must not be negative", id="negative"
        ),
        pytest.param({"size": [6, 8], "counts": "P"}, "in the middle", id="cut-off"),
        pytest.param({"size": [6, 8], "counts": "!"}, "contain '!'", id="no-run-lengths"),
    ],
)
def test_a_damaged_annotation_is_named_with_its_picture(
    write: Write, segmentation: object, message: str
) -> None:
    masks = read_coco(write(segmentation))
    with pytest.raises(DataError, match=rf"annotations\.json: a: .*{message}"):
        masks.read("a", HW)


def test_the_union_of_a_pictures_annotations_is_water(write: Write) -> None:
    halves = ([[0, 0, 4, 0, 4, 6, 0, 6]], [[4, 0, 8, 0, 8, 6, 4, 6]])
    both = [{"image_id": 1, "category_id": 1, "segmentation": half} for half in halves]
    assert read_coco(write(annotations=both)).read("a", HW).all()


def test_annotations_of_other_categories_are_no_water(write: Write) -> None:
    square = [[0, 0, 4, 0, 4, 4]]
    car = {"image_id": 1, "category_id": 2, "segmentation": square}
    assert not read_coco(write(annotations=[car])).read("a", HW).any()


def test_the_only_category_is_water_whatever_its_name(write: Write) -> None:
    path = write([[0, 0, 8, 0, 8, 6, 0, 6]], categories=[{"id": 1, "name": "flood"}])
    assert read_coco(path).read("a", HW).all()


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        pytest.param([], "none", id="none"),
        pytest.param([{"id": 1, "name": "x"}, {"id": 2, "name": "y"}], "x, y", id="unclear"),
    ],
)
def test_an_unclear_category_is_refused(
    write: Write, categories: list[dict[str, object]], names: str
) -> None:
    with pytest.raises(DataError, match=rf"needs one category called 'water'.*has {names}"):
        read_coco(write(categories=categories))


def test_pictures_that_do_not_fit_the_file_are_named(write: Write) -> None:
    masks = read_coco(write())
    with pytest.raises(DataError, match="does not list the picture b"):
        masks.read("b", HW)
    with pytest.raises(DataError, match=r"a is \(8, 6\) pixels, its picture \(9, 9\)"):
        masks.read("a", (9, 9))


def test_what_belongs_to_no_picture_is_listed(write: Write) -> None:
    image = {"id": 1, "file_name": "a.jpg", "height": 6, "width": 8}
    twin = {"id": 2, "file_name": "sub/a.png", "height": 6, "width": 8}
    stray = {"image_id": 5, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 4]]}
    problems = read_coco(write(images=[image, twin], annotations=[stray])).problems(frozenset())
    twice, unknown, missing = problems
    assert "lists the stem a twice" in twice
    assert "annotations.0: no image has id 5" in unknown
    assert "a has no picture" in missing


@pytest.mark.parametrize("read", [read_coco, read_coco_boxes])
def test_ids_that_mean_two_things_or_none_are_listed(
    write: Write, read: Callable[[Path], CocoMasks | CocoBoxes]
) -> None:
    # As in two files that were merged without new numbers.
    image = {"id": 1, "height": 6, "width": 8}
    square = {"segmentation": [[0, 0, 4, 0, 4, 4]], "bbox": [0, 0, 4, 4]}
    found = read(
        write(
            images=[{**image, "file_name": "a.jpg"}, {**image, "file_name": "b.jpg"}],
            categories=[{"id": 1, "name": "water"}, {"id": 1, "name": "car"}],
            annotations=[{"image_id": 1, "category_id": 7, **square}],
        )
    )
    problems = found.strays if isinstance(found, CocoMasks) else found.problems
    assert [problem.partition("annotations.json: ")[2] for problem in problems] == [
        "lists the image id 1 twice",
        "lists the category id 1 twice",
        "annotations.0: no category has id 7",
    ]


def test_a_file_of_another_form_is_refused_where_it_is_wrong(write: Write) -> None:
    image = {"id": 1, "file_name": "a.jpg", "height": "tall", "width": 8}
    with pytest.raises(
        DataError, match=r"annotations\.json: images\.0\.height: Input should be"
    ):
        read_coco(write(images=[image]))
