from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.commands import pictures


def test_a_lossless_picture_comes_back_as_it_was_written(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    pictures.write(tmp_path / "a.png", image)
    np.testing.assert_array_equal(pictures.read_rgb(tmp_path / "a.png"), image)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", "not a picture", id="empty"),
        pytest.param(b"hello", "not a picture", id="text"),
        pytest.param(None, "No such file", id="missing"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, expected: str
) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(pictures.PictureError, match=rf"a\.jpg: .*{expected}"):
        pictures.read_rgb(path)


@pytest.mark.parametrize("name", ["a.txt", "a", "missing/a.png"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(pictures.PictureError, match="cannot write"):
        pictures.write(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
