from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.parts import Equalisation
from lsm_monitor.model.preprocess import (
    IMAGENET_NORMALISATION,
    LITE_NORMALISATION,
    Normalisation,
    Preprocessor,
    equalise,
    fit,
)

KINDS: tuple[Equalisation, ...] = ("rgb", "luma", "clahe", "off")

sides = st.integers(1, 4000)
every_kind = pytest.mark.parametrize("kind", KINDS)


def preprocessor(
    equalisation: Equalisation = "off",
    size_px: int = 64,
    normalisation: Normalisation = LITE_NORMALISATION,
) -> Preprocessor:
    return Preprocessor(size_px, normalisation, equalisation)


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return a dull picture: values from 100 to 150, another range in each channel."""
    rng = np.random.default_rng(seed)
    return rng.integers((100, 110, 120), (130, 140, 150), (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=50)
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
def test_the_picture_lies_at_the_top_left_and_the_rest_is_the_mean_colour(
    frame_hw: tuple[int, int], content: tuple[int, int]
) -> None:
    prepared = preprocessor()(np.full((*frame_hw, 3), 255, np.uint8))
    height, width = content
    assert prepared.image.shape == (3, 64, 64)
    assert prepared.image.dtype == torch.float32
    assert prepared.letterbox == fit(frame_hw, 64)
    assert (prepared.image[:, :height, :width] == 1.0).all()
    assert not prepared.image[:, height:].any()
    assert not prepared.image[:, :, width:].any()


@pytest.mark.parametrize(
    ("normalisation", "name", "mean", "deviation"),
    [
        pytest.param(
            LITE_NORMALISATION, "rgb-letterbox-127-128", (127,) * 3, (128,) * 3, id="lite"
        ),
        pytest.param(
            IMAGENET_NORMALISATION,
            "rgb-letterbox-imagenet",
            (123.675, 116.28, 103.53),
            (58.395, 57.12, 57.375),
            id="imagenet",
        ),
    ],
)
def test_a_name_in_bundles_stands_for_these_numbers_for_good(
    normalisation: Normalisation,
    name: str,
    mean: tuple[float, float, float],
    deviation: tuple[float, float, float],
) -> None:
    assert normalisation == Normalisation(name, mean, deviation)


@pytest.mark.parametrize("normalisation", [LITE_NORMALISATION, IMAGENET_NORMALISATION])
def test_channels_stay_red_green_blue_and_are_normalised_one_by_one(
    normalisation: Normalisation,
) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[...] = (255, 127, 0)
    found = preprocessor(normalisation=normalisation)(image).image[:, 5, 5].tolist()
    expected = (np.array((255, 127, 0)) - normalisation.mean) / normalisation.deviation
    assert found == pytest.approx(expected.tolist(), abs=1e-6)


def test_shrinking_averages_a_fine_pattern_instead_of_picking_pixels() -> None:
    image = np.zeros((512, 512, 3), np.uint8)
    image[::2] = 254
    assert preprocessor()(image).image.abs().max() < 0.01


def test_equalised_is_each_channel_equalised_by_opencv() -> None:
    image = picture(64, 64)
    channels = [cv2.equalizeHist(channel) for channel in cv2.split(image)]
    found = preprocessor("rgb")(image).equalised
    expected = (np.stack(channels).astype(np.float32) - 127.0) / 128.0
    torch.testing.assert_close(found, torch.from_numpy(expected))


@every_kind
def test_the_plain_picture_is_the_same_whatever_is_equalised(kind: Equalisation) -> None:
    image = picture(40, 90)
    assert torch.equal(preprocessor(kind)(image).image, preprocessor()(image).image)


def test_off_gives_the_same_tensor_twice() -> None:
    prepared = preprocessor("off")(picture(40, 90))
    assert prepared.equalised is prepared.image


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_equalising_spreads_brightness_after_resizing_and_without_the_padding(
    kind: Equalisation,
) -> None:
    image = picture(40, 80)
    prepared = preprocessor(kind)(image)
    assert not prepared.equalised[:, 32:].any()
    shrunk = np.asarray(cv2.resize(image, (64, 32), interpolation=cv2.INTER_AREA), np.uint8)
    expected = preprocessor()(equalise(shrunk, kind)).image
    assert torch.equal(prepared.equalised, expected)
    assert prepared.equalised[:, :32].std() > 1.5 * prepared.image[:, :32].std()


@pytest.mark.parametrize(("kind", "keeps"), [("rgb", False), ("luma", True), ("clahe", True)])
def test_only_equalising_the_channels_one_by_one_changes_the_colours(
    kind: Equalisation, *, keeps: bool
) -> None:
    brown = picture(64, 64) // 4 + np.array((60, 30, 0), np.uint8)
    before = cv2.cvtColor(brown, cv2.COLOR_RGB2LAB).mean((0, 1))
    after = cv2.cvtColor(equalise(brown, kind), cv2.COLOR_RGB2LAB).mean((0, 1))
    assert bool(np.abs(after - before)[1:].max() < 4.0) is keeps


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    kind=st.sampled_from(KINDS),
    value=st.integers(0, 255),
)
def test_pictures_of_any_size_even_of_one_colour_can_be_prepared(
    height: int, width: int, kind: Equalisation, value: int
) -> None:
    prepared = preprocessor(kind)(np.full((height, width, 3), value, np.uint8))
    for tensor in (prepared.image, prepared.equalised):
        assert tensor.shape == (3, 64, 64)
        assert tensor.is_contiguous()
        assert tensor.abs().max() <= 1.0


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
        preprocessor("rgb")(image)


def test_the_picture_itself_is_never_changed() -> None:
    image = picture(64, 64)
    before = image.copy()
    for kind in KINDS:
        preprocessor(kind)(image)
    assert np.array_equal(image, before)


@every_kind
def test_the_two_halves_make_the_whole_for_pictures_of_any_size(kind: Equalisation) -> None:
    whole = preprocessor(kind)
    pictures = [picture(40, 90), picture(90, 40, 1), picture(64, 64, 2)]
    halves = [whole.resize(each) for each in pictures]
    assert all(each.image.dtype == each.equalised.dtype == np.uint8 for each in halves)
    images = whole.normalise([each.image for each in halves])
    equalised = whole.normalise([each.equalised for each in halves])
    assert images.shape == (3, 3, 64, 64)
    for index, each in enumerate(pictures):
        prepared = whole(each)
        assert torch.equal(images[index], prepared.image)
        assert torch.equal(equalised[index], prepared.equalised)
        assert halves[index].letterbox == prepared.letterbox


def test_normalising_leaves_the_picture_as_it_is() -> None:
    image = picture(64, 64)
    preprocessor().normalise([image])
    assert np.array_equal(image, picture(64, 64))


def test_pictures_are_normalised_on_the_device_that_is_asked_for() -> None:
    found = preprocessor().normalise([picture(40, 64)], "meta")  # a device like any other
    assert found.device.type == "meta"
    assert found.shape == (1, 3, 64, 64)
