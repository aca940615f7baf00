from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.config.evidence import Blur
from lsm_monitor.evidence.privacy import BLOCKS_ACROSS, hide

ROAD = ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0))


def noise(height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def blocks_across(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> int:
    """Return how many different columns stand side by side."""
    return 1 + int((np.diff(image.astype(int), axis=1) != 0).any(axis=(0, 2)).sum())


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_a_hidden_picture_has_its_size_and_never_more_than_so_many_blocks(
    height: int, width: int
) -> None:
    hidden = hide(noise(height, width), "all")
    assert hidden.shape == (height, width, 3)
    assert blocks_across(hidden) <= BLOCKS_ACROSS
    assert blocks_across(hidden.transpose(1, 0, 2)) <= BLOCKS_ACROSS


def test_a_number_plate_cannot_be_read_any_more() -> None:
    """Two plates of the same ink, 26 px wide in a substream's picture, become the same."""
    pictures = []
    for stripes in (slice(0, None, 2), slice(1, None, 2)):
        image = np.full((360, 640, 3), 128, np.uint8)
        image[200:206, 300:326] = 255
        image[200:206, 300:326][:, stripes] = 0
        pictures.append(hide(image, "all").astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() <= 16


def test_inside_the_zones_everything_stays_and_outside_nothing() -> None:
    image = noise(200, 320)
    shown = hide(image, "outside_zones", [ROAD])
    assert np.array_equal(shown[101:], image[101:])
    assert np.array_equal(shown[:99], hide(image, "all")[:99])


@pytest.mark.parametrize("blur", ["all", "outside_zones"])
def test_the_picture_itself_is_not_written_to(blur: Blur) -> None:
    image = noise(40, 60)
    image.flags.writeable = False
    hide(image, blur, [ROAD])


def test_nothing_is_hidden_or_copied_by_default() -> None:
    image = noise(40, 60)
    assert hide(image, "none", [ROAD]) is image
