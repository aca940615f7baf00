from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_train.errors import DataError
from lsm_train.splits import read_splits, read_stems, split_by_group, stems_of

# Source -> number of frames.
sources = st.dictionaries(
    st.from_regex(r"[a-z]{1,3}[0-9]?_", fullmatch=True), st.integers(1, 9)
)
several_sources = sources.filter(lambda frames: len(frames) > 1)
shares = st.floats(0.05, 0.95)
seeds = st.integers(0, 1000)


def names(frames: dict[str, int]) -> list[str]:
    return [f"{source}{n}" for source, count in frames.items() for n in range(count)]


def source_of(stem: str) -> str:
    return stem.rstrip("0123456789")


@given(several_sources, shares, seeds)
def test_both_parts_together_are_all_pictures_and_no_source_is_in_both(
    frames: dict[str, int], share: float, seed: int
) -> None:
    train, val = split_by_group(names(frames), val_share=share, seed=seed)
    assert train
    assert val
    assert sorted([*train, *val]) == sorted(names(frames))
    assert not {source_of(stem) for stem in train} & {source_of(stem) for stem in val}


@given(several_sources, shares, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_names_does_not_matter(
    frames: dict[str, int], share: float, seed: int, shuffler: random.Random
) -> None:
    shuffled = names(frames)
    shuffler.shuffle(shuffled)
    expected = split_by_group(names(frames), val_share=share, seed=seed)
    assert split_by_group(shuffled, val_share=share, seed=seed) == expected


@given(several_sources, shares, seeds)
def test_the_validation_part_exceeds_its_share_only_by_a_smallest_source(
    frames: dict[str, int], share: float, seed: int
) -> None:
    _, val = split_by_group(names(frames), val_share=share, seed=seed)
    assert len(val) <= max(share * sum(frames.values()), min(frames.values()))


def test_the_seed_chooses_other_sources() -> None:
    stems = [f"{source}_{n}" for source in "abcdefghij" for n in range(3)]
    assert len({split_by_group(stems, seed=seed) for seed in range(10)}) > 1


def test_frames_of_one_camera_stay_together_by_default() -> None:
    stems = ["test1_1235", "test1_1370", "test1_350", "test2_1225", "test2_7", "test4_419"]
    _, val = split_by_group(stems, val_share=0.2)
    assert val == ("test4_419",)


def test_a_pattern_can_say_where_the_source_is() -> None:
    stems = ["2024-north-a", "2024-south-a", "2025-north-b"]
    train, val = split_by_group(stems, r"\d+-(\w+)-\w", 0.4)
    assert train == ("2024-north-a", "2025-north-b")
    assert val == ("2024-south-a",)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        pytest.param(
            r"(cam).*", r"all 2 pictures have the same source, 'cam'", id="one-source"
        ),
        pytest.param(r"(\d+)_.*", r"finds no source in the name 'cam\d_1'", id="no-match"),
        pytest.param(r"cam.*", r"needs a group in brackets", id="no-group"),
        pytest.param(r"(cam", r"is not a regular expression", id="no-regex"),
    ],
)
def test_names_that_cannot_be_split_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_by_group(["cam1_1", "cam2_1"], pattern)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 1.5])
def test_a_share_that_leaves_a_part_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="val_share must be in"):
        split_by_group(["a1", "b1"], val_share=share)


def test_splits_forget_remarks_behind_the_data_sets_name(data: Path) -> None:
    assert read_splits(data)["train"]["dry_lums"] == ("lums_1", "lums_2")


def write_splits(data: Path, content: object) -> None:
    (data / "splits_dev.json").write_text(json.dumps(content))


def test_a_data_sets_name_may_have_a_space_and_its_list_two_remarks(data: Path) -> None:
    train = {"river cams (day)": ["a"], "river cams (night)": ["b"]}
    write_splits(data, {"train": train, "val": {"river yard": ["a"]}})
    assert read_splits(data) == {
        "train": {"river cams": ("a", "b")},
        "val": {"river yard": ("a",)},
    }


def test_a_picture_that_is_both_trained_on_and_validated_with_is_refused(data: Path) -> None:
    names = {"roadway_dev": ["road_1", "road_2"]}
    write_splits(data, {"train": names, "val": {"roadway_dev (late)": ["road_3", "road_2"]}})
    with pytest.raises(DataError, match=r"roadway_dev: both for train and for val: road_2$"):
        read_splits(data)


@pytest.mark.parametrize("stems", [[1, 2], "road_1", {"road_1": 1}])
def test_names_that_are_no_list_of_texts_are_refused(data: Path, stems: object) -> None:
    write_splits(data, {"train": {"roadway_dev": stems}})
    with pytest.raises(DataError, match=r"splits \(.* is no list of names in quotes\)"):
        read_splits(data)


def test_a_damaged_splits_file_is_named(data: Path) -> None:
    (data / "splits_dev.json").write_text("[]")
    with pytest.raises(DataError, match=r"splits_dev\.json: cannot be read as splits"):
        read_splits(data)


def test_without_a_splits_file_sets_are_split_by_source_and_single_sources_are_trained_on(
    data: Path,
) -> None:
    (data / "splits_dev.json").unlink()
    masks, images = data / "roadway_dev" / "masks", data / "roadway_dev" / "images"
    for folder, suffix in ((masks, "png"), (images, "jpg")):
        (folder / f"road_3.{suffix}").rename(folder / f"lane_3.{suffix}")
    splits = read_splits(data)
    assert splits["train"]["roadway_dev"] == ("road_1", "road_2")
    assert splits["val"] == {"roadway_dev": ("lane_3",)}
    assert splits["train"]["dry_lums"] == ("lums_1", "lums_2")


def test_a_folder_with_nothing_to_validate_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no splits_dev\.json, and no data set that could"):
        read_splits(tmp_path)


def test_a_split_selects_the_pictures_of_the_folder(data: Path) -> None:
    split = f"{data / 'splits_dev.json'}:val"
    assert read_stems(split, data / "roadway_dev" / "images") == {"road_3"}


def test_pictures_that_another_set_has_in_another_part_are_not_selected(data: Path) -> None:
    write_splits(
        data,
        {
            "train": {"roadway_dev": ["road_1"]},
            "val": {"roadway_dev": ["road_3"], "b": ["road_1"]},
        },
    )
    split = f"{data / 'splits_dev.json'}:val"
    assert read_stems(split, data / "roadway_dev" / "images") == {"road_3"}
    elsewhere = (data / "roadway_dev").rename(data / "moved")
    assert read_stems(split, elsewhere / "images") == {"road_1", "road_3"}


def test_a_split_selects_the_pictures_of_a_whole_data_set(data: Path) -> None:
    assert read_stems(f"{data / 'splits_dev.json'}:val", data / "roadway_dev") == {"road_3"}


def test_pictures_of_a_split_that_are_not_there_are_named(data: Path) -> None:
    write_splits(data, {"val": {"roadway_dev": ["road_3", "road_7"]}})
    with pytest.raises(DataError, match=r"lacks 1 of the listed pictures: road_7$"):
        read_stems(f"{data / 'splits_dev.json'}:val", data / "roadway_dev" / "images")


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


def test_a_data_set_that_no_part_names_is_an_error() -> None:
    splits: dict[str, dict[str, tuple[str, ...]]] = {"train": {"streets": ("a", "b")}}
    assert stems_of(splits, "train", "streets") == ("a", "b")
    for part, dataset in (("val", "streets"), ("train", "roads")):
        with pytest.raises(DataError, match=f"names no picture of '{dataset}' for '{part}'"):
            stems_of(splits, part, dataset)
