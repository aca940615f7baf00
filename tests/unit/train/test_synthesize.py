from __future__ import annotations

import csv
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lsm_train.data import WATER, load_dataset
from lsm_train.errors import DataError
from lsm_train.splits import split_by_group
from lsm_train.synthesize import synthesize, synthesize_clip


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    """Three dry roads under a bright sky, one of them with an odd size."""
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate(((96, 128), (96, 128), (97, 129))):
        image = rng.integers(90, 130, (height, width, 3), np.uint8)
        image[:35] = (250, 220, 180)  # blue-green-red: a blue sky
        road = np.zeros((height, width), np.uint8)
        road[40:] = 255
        for kind, pixels, suffix in (("images", image, "jpg"), ("roads", road, "png")):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"cam_{index}.{suffix}"), pixels)
    return tmp_path


def make(roads: Path, out: str, *, count: int = 10, seed: int = 1) -> list[dict[str, str]]:
    synthesize(
        roads / "images",
        roads / "roads",
        roads / out,
        count=count,
        seed=seed,
        wet_share=0.2,
        dry_share=0.3,
    )
    with (roads / out / "meta.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_set_has_our_layout_and_a_row_for_each_picture(roads: Path) -> None:
    rows = make(roads, "out")
    pictures = load_dataset(roads, "out", None, 768)
    assert [picture.name for picture in pictures] == sorted(row["name"] for row in rows)
    fraction = {row["name"]: float(row["water_fraction"]) for row in rows}
    for picture in pictures:
        measured = (picture.labels == WATER).mean()
        assert measured == pytest.approx(fraction[picture.name], abs=1e-4)


def test_the_pictures_colours_are_those_of_their_sources(roads: Path) -> None:
    make(roads, "out")
    for picture in load_dataset(roads, "out", None, 768):
        red, _, blue = picture.image[:30].reshape(-1, 3).mean(0)
        assert blue > red - 5  # lamps at night are yellow


def test_the_kinds_have_their_shares_and_only_floods_have_water(roads: Path) -> None:
    rows = make(roads, "out")
    kinds = [row["kind"] for row in rows]
    assert [kinds.count(kind) for kind in ("wet", "dry", "flooded")] == [2, 3, 5]
    for row in rows:
        assert (float(row["water_fraction"]) > 0) == (row["kind"] == "flooded")
        assert (float(row["level"]) > 0) == (row["kind"] == "flooded")


def test_all_sources_are_used_and_splits_can_keep_them_apart(roads: Path) -> None:
    rows = make(roads, "out")
    assert {row["source"] for row in rows} == {"cam_0", "cam_1", "cam_2"}
    train, val = split_by_group([row["name"] for row in rows], val_share=0.4)
    source = {row["name"]: row["source"] for row in rows}
    assert not {source[name] for name in train} & {source[name] for name in val}


def test_the_seed_decides_everything(roads: Path) -> None:
    first, again, other = make(roads, "a"), make(roads, "b"), make(roads, "c", seed=2)
    assert first == again
    assert first != other
    for row in first:
        name = f"images/{row['name']}.jpg"
        assert (roads / "a" / name).read_bytes() == (roads / "b" / name).read_bytes()


def test_every_unusable_source_is_named_before_anything_is_written(roads: Path) -> None:
    (roads / "roads" / "cam_0.png").unlink()
    cv2.imwrite(str(roads / "roads" / "cam_1.png"), np.zeros((96, 128), np.uint8))
    with pytest.raises(DataError) as caught:
        make(roads, "out")
    missing, empty = str(caught.value).splitlines()
    assert "cam_0.png: cannot be read" in missing
    assert "cam_1.jpg: its road mask shows no road" in empty
    assert not (roads / "out").exists()


def test_a_folder_with_content_is_left_alone(roads: Path) -> None:
    with pytest.raises(DataError, match="images: is not empty"):
        make(roads, "images")


def test_a_folder_that_cannot_be_made_is_named(roads: Path) -> None:
    (roads / "file").touch()
    with pytest.raises(DataError, match="file/out: cannot be made"):
        make(roads, "file/out")


@pytest.mark.parametrize(
    ("count", "wet_share", "message"),
    [
        pytest.param(0, 0.1, "count must be at least 1", id="count"),
        pytest.param(5, 0.95, "must be shares of 1", id="too-much"),
        pytest.param(5, -0.1, "must be shares of 1", id="negative"),
    ],
)
def test_impossible_wishes_are_refused(
    roads: Path, count: int, wet_share: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        synthesize(
            roads / "images",
            roads / "roads",
            roads / "out",
            count=count,
            seed=0,
            wet_share=wet_share,
        )


def make_clip(roads: Path, out: Path, *, name: str = "cam_2") -> list[dict[str, str]]:
    synthesize_clip(
        roads / "images" / f"{name}.jpg",
        roads / "roads" / f"{name}.png",
        out,
        duration_s=3.0,
        fps=4,
        rise_per_minute=24.0,
        seed=1,
    )
    with out.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_clip_is_h264_of_the_wanted_length_and_rises_as_told(roads: Path) -> None:
    rows = make_clip(roads, roads / "clip.mp4")
    with av.open(roads / "clip.mp4") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == len(rows) == 12
    assert frames[0].shape == (96, 128, 3)  # even, although the picture is not
    assert [float(row["level"]) for row in rows] == pytest.approx(
        [min(1.0, 0.1 * index) for index in range(12)]
    )


def test_the_truth_about_a_clip_starts_dry_and_never_falls(roads: Path) -> None:
    fractions = [float(row["water_fraction"]) for row in make_clip(roads, roads / "clip.mp4")]
    assert fractions[0] == 0.0
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(56 / 96, abs=1e-3)  # the whole road


def test_a_clip_that_cannot_be_written_is_named(roads: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere/clip\.mp4: cannot be written"):
        make_clip(roads, roads / "nowhere" / "clip.mp4")


def test_a_clip_needs_a_road(roads: Path) -> None:
    cv2.imwrite(str(roads / "roads" / "cam_1.png"), np.zeros((96, 128), np.uint8))
    with pytest.raises(DataError, match=r"cam_1\.png: shows no road"):
        make_clip(roads, roads / "clip.mp4", name="cam_1")


def test_a_clips_road_is_read_from_the_file_that_was_named(roads: Path) -> None:
    picture = roads / "images" / "cam_1.jpg"
    shutil.copy(roads / "roads" / "cam_1.png", picture.with_suffix(".png"))
    with pytest.raises(DataError, match=r"cam_1\.jpg: road masks are PNG files"):
        synthesize_clip(
            picture,
            picture,
            roads / "clip.mp4",
            duration_s=1.0,
            fps=4,
            rise_per_minute=1.0,
            seed=1,
        )


def test_a_clip_without_a_frame_is_refused(roads: Path) -> None:
    with pytest.raises(ValueError, match="cannot make 0 frames"):
        synthesize_clip(
            roads / "images" / "cam_0.jpg",
            roads / "roads" / "cam_0.png",
            roads / "clip.mp4",
            duration_s=0.0,
            fps=4,
            rise_per_minute=1.0,
            seed=1,
        )
