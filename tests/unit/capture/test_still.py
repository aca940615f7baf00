from __future__ import annotations

import cv2
import numpy as np
import pytest

from lsm_monitor.capture.still import decode_picture, size_of


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_the_header_tells_the_size(suffix: str) -> None:
    data = cv2.imencode(suffix, np.zeros((30, 50, 3), np.uint8))[1].tobytes()
    assert size_of(data) == (50, 30)
    image = decode_picture(data)
    assert image is not None
    assert image.shape == (30, 50, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_that_claims_gigabytes_is_not_decoded(suffix: str) -> None:
    data = cv2.imencode(suffix, np.zeros((30, 50, 3), np.uint8))[1].tobytes()
    byte_count = 2 if suffix == ".jpg" else 4
    order = (30, 50) if suffix == ".jpg" else (50, 30)
    claim = b"".join(side.to_bytes(byte_count, "big") for side in order)
    assert data.count(claim) == 1
    huge = data.replace(claim, (60000).to_bytes(byte_count, "big") * 2)
    assert size_of(huge) == (60000, 60000)
    assert decode_picture(huge) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG", b"<html>"])
def test_what_is_no_picture_has_no_size(data: bytes) -> None:
    assert size_of(data) is None
    assert decode_picture(data) is None
