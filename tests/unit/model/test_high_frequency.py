from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.high_frequency import high_frequency, low_frequency

SIDE_PX = 32
PAPERS_SHARE = 0.25

seeds = st.integers(0, 1000)
shares = st.floats(0.0, 0.9)


def pictures(seed: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, SIDE_PX, SIDE_PX, generator=generator)


def test_a_constant_picture_has_no_high_frequencies_not_even_at_its_border() -> None:
    # The FFT wraps round, so a border is an edge only where opposite sides differ.
    found = high_frequency(torch.full((1, 3, 64, 64), 2.5), PAPERS_SHARE)
    assert found.abs().max() < 1e-5


def test_what_an_edge_leaves_falls_with_the_distance_from_it() -> None:
    step = torch.zeros(1, 1, 256, 256)
    step[..., :128, :] = 1.0  # as a wide picture ends at its padding
    found = high_frequency(step, PAPERS_SHARE)[0, 0, :, 0]
    distance_px = torch.arange(1, 65)
    assert found[127] == pytest.approx(0.25, abs=1e-3)
    assert (found[128:192] <= 0.251 / distance_px).all()
    assert (found[64:128].flip(0) <= 0.251 / distance_px).all()


@pytest.mark.parametrize(
    ("row_cycles", "column_cycles", "kept"),
    [
        pytest.param(0, 0, 0.0, id="mean"),
        pytest.param(0, 255, 0.0, id="inside-of-the-right-edge"),
        pytest.param(255, 0, 0.0, id="inside-of-the-lower-edge"),
        pytest.param(255, 255, 0.0, id="inside-of-the-corner"),
        # The square reaches from -256 to 255: one of the wave's two frequencies is in it.
        pytest.param(0, 256, 0.5, id="on-the-edge"),
        pytest.param(0, 257, 1.0, id="outside-of-the-right-edge"),
        pytest.param(257, 0, 1.0, id="outside-of-the-lower-edge"),
        pytest.param(257, 255, 1.0, id="outside-of-the-corner"),
    ],
)
def test_at_1024_px_a_square_of_512_px_is_removed(
    row_cycles: int, column_cycles: int, kept: float
) -> None:
    index = torch.arange(1024)
    # Whole numbers of cycles modulo 1024 keep the argument exact.
    turns = (row_cycles * index[:, None] + column_cycles * index) % 1024
    wave = (2 * math.pi * turns / 1024).cos()[None, None]
    found = high_frequency(wave, PAPERS_SHARE)
    torch.testing.assert_close(found, kept * wave.abs(), rtol=0, atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_removing_nothing_gives_the_magnitude_of_the_picture(seed: int) -> None:
    images = pictures(seed)
    torch.testing.assert_close(high_frequency(images, 0.0), images.abs(), rtol=0, atol=1e-5)


def by_the_words(images: torch.Tensor, removed_share: float) -> torch.Tensor:
    """FFT, centre, zero a square, transform back, absolute value of the real part."""
    height, width = images.shape[-2:]
    half = int(math.sqrt(height * width * removed_share) // 2)
    spectrum = torch.fft.fftshift(torch.fft.fft2(images), dim=(-2, -1))
    rows = slice(height // 2 - half, height // 2 + half)
    columns = slice(width // 2 - half, width // 2 + half)
    spectrum[..., rows, columns] = 0.0
    found: torch.Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1)))
    return found.real.abs()


@settings(deadline=None, max_examples=50)
@given(seed=seeds, share=shares, height=st.integers(2, 33), width=st.integers(2, 33))
def test_it_is_the_papers_filter_at_every_size_and_share(
    seed: int, share: float, height: int, width: int
) -> None:
    share *= min(height, width) / max(height, width)  # the square fits into the spectrum
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, height, width, generator=generator)
    expected = by_the_words(images, share)
    torch.testing.assert_close(high_frequency(images, share), expected, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(seed=seeds, shares=st.tuples(shares, shares))
def test_removing_more_leaves_less(seed: int, shares: tuple[float, float]) -> None:
    less, more = sorted(shares)
    images = pictures(seed)
    left = high_frequency(images, more).square().sum()
    assert left <= high_frequency(images, less).square().sum() * 1.0001


@settings(deadline=None, max_examples=50)
@given(seed=seeds, gain=st.floats(-5.0, 5.0), share=shares)
def test_contrast_scales_the_result_and_its_sign_does_not_matter(
    seed: int, gain: float, share: float
) -> None:
    images = pictures(seed)
    torch.testing.assert_close(
        high_frequency(gain * images, share),
        abs(gain) * high_frequency(images, share),
        rtol=1e-4,
        atol=1e-4,
    )


@settings(deadline=None, max_examples=50)
@given(seed=seeds, share=shares)
def test_pictures_and_channels_are_filtered_alone(seed: int, share: float) -> None:
    images = pictures(seed, batch=2)
    together = high_frequency(images, share)
    for picture in range(2):
        for channel in range(3):
            at = (slice(picture, picture + 1), slice(channel, channel + 1))
            torch.testing.assert_close(together[at], high_frequency(images[at], share))


def test_it_is_as_exact_under_autocast() -> None:
    images = pictures(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = high_frequency(images.bfloat16(), PAPERS_SHARE)
    assert torch.equal(found, high_frequency(images.bfloat16().float(), PAPERS_SHARE))


def test_low_frequencies_are_what_the_high_ones_leave_out() -> None:
    torch.manual_seed(0)
    flat = torch.full((1, 3, 32, 32), -0.7)
    torch.testing.assert_close(low_frequency(flat, 0.25), flat.abs())
    fine = torch.ones(1, 1, 32, 32)
    fine[..., ::2] = -1.0  # the finest stripes there are
    assert low_frequency(fine, 0.25).abs().max() < 1e-5
    smooth = torch.linspace(0, 6.2831853, 33)[:-1].cos().expand(1, 1, 32, 32) + 2.0
    torch.testing.assert_close(low_frequency(smooth, 0.25), smooth)
    assert high_frequency(smooth, 0.25).max() < 1e-5
