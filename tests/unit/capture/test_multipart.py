from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.multipart import MultipartError, MultipartReader

pictures = st.lists(st.binary(max_size=300).map(lambda data: b"\xff\xd8" + data + b"\xff\xd9"))


def pieces(data: bytes, size: int) -> Callable[[int], bytes]:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    return lambda _: next(chunks, b"")


def body(parts: list[bytes], *, with_length: bool) -> bytes:
    sent = b"preamble\r\n"
    for part in parts:
        length = f"Content-Length: {len(part)}\r\n".encode() if with_length else b""
        sent += b"--frame\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + part + b"\r\n"
    return sent + b"--frame--\r\n"


@given(parts=pictures, size=st.integers(1, 400))
def test_parts_with_a_length_come_out_whole_however_they_are_cut(
    parts: list[bytes], size: int
) -> None:
    read = pieces(body(parts, with_length=True), size)
    assert list(MultipartReader(read, max_part_bytes=1000).parts()) == parts


@given(
    parts=pictures.map(lambda parts: [part.replace(b"\n--frame", b"") for part in parts]),
    size=st.integers(1, 400),
)
def test_parts_without_a_length_end_at_the_next_boundary(parts: list[bytes], size: int) -> None:
    read = pieces(body(parts, with_length=False), size)
    assert list(MultipartReader(read, max_part_bytes=1000).parts()) == parts


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b" \r\n"])
def test_a_part_without_a_length_may_hold_what_looks_like_a_boundary(line_end: bytes) -> None:
    # Three bytes that every 16 MB of coded pictures have, by chance.
    part = b"\xff\xd8\n--" + bytes(200) + b"\r\n--\xff\xd9"
    sent = b"".join(b"--frame" + line_end + b"\r\n" + part + line_end for _ in range(3))
    read = pieces(sent + b"--frame--", 64)
    found = list(MultipartReader(read, max_part_bytes=1000).parts())
    assert [each.rstrip() for each in found] == 3 * [part]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"--f\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, id="long part"),
        pytest.param(b"--f\r\nContent-Length: " + b"9" * 900 + b"\r\n\r\n", id="huge number"),
        pytest.param(b"--f\r\n\r\n" + b"x" * 2000, id="no boundary"),
        pytest.param(b"x" * 2000, id="endless line"),
        pytest.param(b"x\n" * 200, id="endless preamble"),
        pytest.param(b"--f\r\n" + b"a: b\r\n" * 200, id="endless header"),
    ],
)
def test_what_does_not_end_is_an_error(data: bytes) -> None:
    with pytest.raises(MultipartError):
        list(MultipartReader(pieces(data, 64), max_part_bytes=1000).parts())


def test_a_part_that_is_cut_off_is_none() -> None:
    read = pieces(b"--f\r\nContent-Length: 9\r\n\r\n12345", 4)
    assert list(MultipartReader(read, max_part_bytes=1000).parts()) == []
