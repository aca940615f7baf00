from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.postprocess import Letterbox, capped_hw, logits_to_frame
from lsm_monitor.model.preprocess import fit, preprocess

sides = st.integers(1, 4000)


@given(height=sides, width=sides, size=st.sampled_from([64, 512, 1024]))
def test_the_fitted_picture_fills_the_longer_side_and_keeps_its_aspect(
    height: int, width: int, size: int
) -> None:
    resized = fit((height, width), size).resized_hw
    assert max(resized) == size
    assert min(resized) >= 1
    # One pixel of rounding on the shorter side.
    exact = size / max(height, width)
    assert abs(resized[0] - height * exact) <= 1.0
    assert abs(resized[1] - width * exact) <= 1.0


@pytest.mark.parametrize(
    ("frame_hw", "content"),
    [
        pytest.param((360, 640), (36, 64), id="wide"),
        pytest.param((640, 360), (64, 36), id="tall"),
        pytest.param((64, 64), (64, 64), id="same-size"),
    ],
)
def test_the_picture_lies_at_the_top_left_and_the_rest_is_grey(
    frame_hw: tuple[int, int], content: tuple[int, int]
) -> None:
    tensor, _ = preprocess(np.full((*frame_hw, 3), 255, np.uint8), 64)
    height, width = content
    assert tensor.shape == (3, 64, 64)
    assert (tensor[:, :height, :width] == 1.0).all()
    assert not tensor[:, height:].any()
    assert not tensor[:, :, width:].any()


def test_channels_stay_red_green_blue_in_minus_one_to_one() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[...] = (255, 127, 0)
    tensor, _ = preprocess(image, 64)
    assert tensor[:, 5, 5].tolist() == pytest.approx([1.0, 0.0, -127 / 128])


def test_shrinking_averages_a_fine_pattern_instead_of_picking_pixels() -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    image[::2] = 254
    tensor, _ = preprocess(image, 64)
    assert tensor.abs().max() < 0.01


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), id="with-alpha"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="float"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), id="empty"),
    ],
)
def test_what_is_no_rgb_picture_is_refused(image: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="must be"):
        preprocess(image, 64)


def test_padding_never_reaches_the_frame() -> None:
    logits = torch.full((1, 1, 256, 256), 20.0)
    logits[..., 144:, :] = -20.0  # padding of a 16:9 frame
    letterbox = Letterbox((1080, 1920), (576, 1024), 1024)
    probability = logits_to_frame(logits, letterbox, (1080, 1920))
    assert probability[..., :1070, :].min() > 0.99


@settings(deadline=None)
@given(
    height=st.integers(40, 400),
    width=st.integers(40, 400),
    row=st.floats(0.3, 0.7),
)
def test_a_water_line_comes_back_where_it_was_in_the_frame(
    height: int, width: int, row: float
) -> None:
    line_px = round(row * height)
    image = np.zeros((height, width, 3), np.uint8)
    image[line_px:] = 255
    tensor, letterbox = preprocess(image, 256)
    # A "model" that calls bright pixels water, at a quarter of the input's resolution.
    logits = torch.nn.functional.avg_pool2d(tensor[None, :1] * 20.0, 4)
    found = logits_to_frame(logits, letterbox, (height, width))[0, 0] >= 0.5
    found_px = height - found[:, width // 2].sum().item()
    # Half a cell of the low-res logits, in pixels of the frame, and one of rounding.
    assert abs(found_px - line_px) <= 2.0 * max(height, width) / 256 + 1.0


def test_probabilities_may_be_asked_for_at_a_smaller_size() -> None:
    letterbox = fit((1080, 1920), 512)
    probability = logits_to_frame(torch.zeros(2, 1, 128, 128), letterbox, (360, 640))
    assert probability.shape == (2, 1, 360, 640)
    assert (probability == 0.5).all()


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 1, h, w\), got \(1, 2, 8, 8\)"):
        logits_to_frame(torch.zeros(1, 2, 8, 8), fit((8, 8), 32), (8, 8))


@given(height=sides, width=sides)
def test_a_capped_size_never_grows_and_never_exceeds_the_cap(height: int, width: int) -> None:
    capped = capped_hw((height, width), 640)
    assert max(capped) <= 640
    assert capped[0] <= height
    assert capped[1] <= width
    assert capped == (height, width) or max(capped) == 640
