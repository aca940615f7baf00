from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.commands import pictures
from lsm_monitor.commands.segment import find_pictures, segment
from lsm_monitor.inference.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter() -> Iterator[Segmenter]:
    opened = Segmenter.open("compact", backend="torch", device="cpu", threads=0, max_batch=1)
    yield opened
    opened.close()


def write_picture(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    pictures.write(path, np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


def test_each_picture_gets_a_mask_of_its_size_and_an_overlay(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    write_picture(tmp_path / "a.png")
    (result,) = segment([tmp_path / "a.png"], tmp_path / "out", segmenter)
    mask = pictures.read_rgb(tmp_path / "out" / "a_mask.png")
    assert mask.shape == (48, 64, 3)
    assert set(np.unique(mask)) <= {0, 255}
    assert result.water_fraction == pytest.approx((mask > 0).mean(), abs=1e-3)
    assert pictures.read_rgb(tmp_path / "out" / "a_overlay.jpg").shape == (48, 64, 3)


def test_a_broken_picture_is_a_result_and_the_others_go_on(
    tmp_path: Path, segmenter: Segmenter
) -> None:
    write_picture(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"cut off")
    broken, good = segment(
        [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out", segmenter
    )
    assert broken.error is not None
    assert "a.png: not a picture" in broken.error
    assert good.error is None


def test_folders_are_searched_and_other_files_left_alone(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_pictures([tmp_path])] == ["a.JPG", "b.png"]


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the folder holds none of \.bmp, \.jpeg"):
        find_pictures([tmp_path])


def test_two_pictures_are_never_written_to_one_file(tmp_path: Path) -> None:
    write_picture(tmp_path / "x" / "a.png")
    write_picture(tmp_path / "y" / "a.png")
    with pytest.raises(ValueError, match=r"would both be written as a_mask\.png"):
        find_pictures([tmp_path / "x", tmp_path / "y"])
