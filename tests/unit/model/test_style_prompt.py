from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.style_prompt import (
    StylePrompter,
    amplitude_image,
    amplitude_side_px,
)
from tests.unit.model.models import noise

SIDE_PX = 32

shifts = st.integers(-SIDE_PX, SIDE_PX)
seeds = st.integers(0, 1000)


@pytest.fixture(scope="module")
def prompter() -> StylePrompter:
    torch.manual_seed(0)
    return StylePrompter(256).eval()


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_the_image_is_real_and_has_the_pictures_amplitudes(seed: int) -> None:
    images = noise(2, seed, SIDE_PX)
    found = amplitude_image(images)
    assert found.dtype == torch.float32
    rebuilt = torch.fft.ifftshift(found.sign() * found.abs().expm1(), dim=(-2, -1))
    spectrum = torch.fft.fft2(rebuilt)
    wanted = torch.fft.fft2(images).abs()
    torch.testing.assert_close(spectrum.real, wanted, rtol=0, atol=1e-2)
    assert spectrum.imag.abs().max() < 1e-2


@settings(deadline=None, max_examples=50)
@given(seed=seeds, rows=shifts, columns=shifts)
def test_the_image_does_not_tell_where_things_stand(seed: int, rows: int, columns: int) -> None:
    images = noise(1, seed, SIDE_PX)
    moved = images.roll((rows, columns), dims=(-2, -1))
    torch.testing.assert_close(
        amplitude_image(moved), amplitude_image(images), rtol=0, atol=1e-4
    )


@settings(deadline=None, max_examples=50)
@given(seed=seeds)
def test_its_peak_is_in_the_middle_and_compressed(seed: int) -> None:
    found = amplitude_image(noise(1, seed, SIDE_PX))
    middle = SIDE_PX // 2
    assert (found[..., middle, middle] == found.amax((-2, -1))).all()
    assert found.max() < 10.0


def test_large_pictures_are_shrunk_first_and_averaged() -> None:
    columns = torch.tensor([1.0, -1.0, -1.0, 1.0]).repeat(256)  # averages to nothing
    found = amplitude_image(columns.expand(1, 3, 1024, -1))
    assert found.shape == (1, 3, 256, 256)
    assert found.abs().median() < 0.01


@pytest.mark.parametrize(("size_px", "side_px"), [(64, 64), (256, 256), (512, 256)])
def test_pictures_of_any_size_give_one_token(
    prompter: StylePrompter, size_px: int, side_px: int
) -> None:
    with torch.inference_mode():
        amplitude = amplitude_image(noise(2, size_px=size_px))
        token = prompter(amplitude)
    assert amplitude.shape == (2, 3, side_px, side_px)
    assert amplitude_side_px(size_px) == side_px
    assert token.shape == (2, 1, 256)
    assert token.isfinite().all()


def test_the_token_tells_pictures_apart_but_not_where_things_stand(
    prompter: StylePrompter,
) -> None:
    images = noise(1)
    with torch.inference_mode():
        token = prompter(amplitude_image(images))
        moved = prompter(amplitude_image(images.roll((5, 20), dims=(-2, -1))))
        smooth = torch.nn.functional.avg_pool2d(images, 5, 1, 2)
        smoother = prompter(amplitude_image(smooth))
    torch.testing.assert_close(moved, token, rtol=0, atol=1e-4)
    assert (smoother - token).abs().max() > 0.01


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_a_batch_of_two_equals_two_batches_of_one(*, training: bool) -> None:
    torch.manual_seed(0)
    prompter = StylePrompter(256).train(training)
    images = amplitude_image(torch.cat([noise(1), 5.0 * noise(1, seed=2)]))
    with torch.inference_mode():
        apart = torch.cat([prompter(images[:1]), prompter(images[1:])])
        torch.testing.assert_close(prompter(images), apart, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    prompter = StylePrompter(256)
    torch.autograd.backward(prompter(amplitude_image(noise(1))).square().sum())
    assert all(p.grad is not None and p.grad.any() for p in prompter.parameters())
