from __future__ import annotations

import cv2
import numpy as np
import pytest

from lsm_monitor.config.evidence import Blur
from lsm_monitor.evidence.pictures import pictures_of
from lsm_monitor.evidence.privacy import hide

WATER = np.zeros((30, 40), np.bool_)
WATER[15:] = True
ROAD = ((0.1, 0.6), (0.9, 0.6), (0.9, 0.9), (0.1, 0.9))
# Smooth, as JPEG likes it: what is compared is the picture, not the compression.
Y, X = np.mgrid[0:120, 0:160]
STREET = np.stack([X, Y, 255 - X], axis=-1).astype(np.uint8)


def decoded(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image if image.ndim == 2 else image[..., ::-1], np.uint8)


def test_the_mask_is_of_the_frames_size_and_says_where_water_is() -> None:
    mask = decoded(pictures_of(STREET, WATER, zones=[ROAD], blur="none").mask)
    assert mask.shape == (120, 160)
    assert np.array_equal(mask > 0, np.kron(WATER, np.ones((4, 4), np.bool_)))
    assert set(np.unique(mask)) == {0, 255}


def test_the_raw_picture_is_the_frame_and_the_other_one_shows_water() -> None:
    pictures = pictures_of(STREET, WATER, zones=[ROAD], blur="none")
    raw, snapshot = decoded(pictures.raw).astype(int), decoded(pictures.snapshot).astype(int)
    assert np.abs(raw - STREET).mean() < 2
    difference = np.abs(snapshot - STREET).sum(axis=-1)
    assert difference[80:].mean() > 40
    assert difference[:50].mean() < 10


@pytest.mark.parametrize("blur", ["all", "outside_zones"])
def test_what_is_hidden_is_hidden_in_every_picture(blur: Blur) -> None:
    stripes = STREET.copy()
    stripes[:50, ::2] = 0
    pictures = pictures_of(stripes, np.zeros_like(WATER), zones=[ROAD], blur=blur)
    expected = hide(stripes, blur, [ROAD]).astype(int)
    for data in (pictures.raw, pictures.snapshot):
        assert np.abs(decoded(data).astype(int) - expected)[:50].mean() < 12
        assert np.abs(decoded(data).astype(int) - stripes)[:50].mean() > 20
