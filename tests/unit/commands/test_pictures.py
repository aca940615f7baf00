from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.commands import pictures
from lsm_monitor.errors import PictureError


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
    with pytest.raises(PictureError, match=rf"a\.jpg: .*{expected}"):
        pictures.read_rgb(path)


@pytest.mark.parametrize("name", ["a.txt", "a", "missing/a.png"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(PictureError, match="cannot write"):
        pictures.write(tmp_path / name, np.zeros((2, 2, 3), np.uint8))


def test_a_header_that_claims_too_much_is_no_picture(tmp_path: Path) -> None:
    ihdr = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + ihdr
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    (tmp_path / "a.png").write_bytes(png + struct.pack(">I", zlib.crc32(chunk)))
    with pytest.raises(PictureError, match="not a picture"):
        pictures.read_rgb(tmp_path / "a.png")


def test_a_picture_too_large_for_its_format_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"70000 x 2 px do not fit into \.jpg"):
        pictures.write(tmp_path / "a.jpg", np.zeros((2, 70_000, 3), np.uint8))
