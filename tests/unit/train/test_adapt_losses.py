"""The equations of WeSAM, against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lsm_train.adapt_losses import contrast_loss, dice_loss, focal_loss
from lsm_train.data import DRY, IGNORED, WATER

LABELS = torch.tensor([[[WATER, DRY, IGNORED]]], dtype=torch.uint8)
# Probabilities 0.75, 0.25 and 0.9, of which the last is not looked at.
LOGITS = torch.tensor([[[math.log(3.0), -math.log(3.0), math.log(9.0)]]])


def test_focal_loss_is_the_published_one_with_its_own_alpha() -> None:
    # p_t is 0.75 at both valid pixels.
    expected = 0.8 * 0.25**2 * -math.log(0.75)
    assert focal_loss(LOGITS, LABELS).item() == pytest.approx(expected)


def test_focal_loss_does_not_depend_on_how_many_masks_there_are() -> None:
    once = focal_loss(LOGITS, LABELS)
    assert torch.equal(focal_loss(LOGITS.repeat(3, 1, 1), LABELS.repeat(3, 1, 1)), once)


def test_dice_loss_counts_valid_pixels_and_smooths_by_one() -> None:
    # overlap 0.75, sum of probabilities 1.0, of labels 1
    expected = 1.0 - (2 * 0.75 + 1) / (1.0 + 1 + 1)
    assert dice_loss(LOGITS, LABELS).item() == pytest.approx(expected)


def test_dice_loss_of_a_batch_is_the_mean_over_its_pictures() -> None:
    dry = torch.full_like(LABELS, DRY)
    both = dice_loss(LOGITS.repeat(2, 1, 1), torch.cat([LABELS, dry]))
    mean = (dice_loss(LOGITS, LABELS) + dice_loss(LOGITS, dry)) / 2
    assert both.item() == pytest.approx(mean.item())


def embedding(*pixels: tuple[float, float]) -> torch.Tensor:
    """(1, 2, 1, N): one vector for each pixel."""
    return torch.tensor(pixels).T[None, :, None]


def test_contrast_loss_takes_ground_as_the_second_object() -> None:
    labels = torch.tensor([[[WATER, DRY]]], dtype=torch.uint8)
    student = embedding((2.0, 0.0), (0.0, 5.0))  # water along one axis, ground along the other
    anchor = embedding((1.0, 1.0), (0.0, 1.0))
    half = math.sqrt(0.5)
    # Cosines: water-water, water-ground, ground-water, ground-ground.
    same, other = (half, 1.0), (0.0, half)
    tau = 0.3
    above = sum(math.exp(s / tau) for s in same)
    expected = -math.log(above / (above + sum(math.exp(s / tau) for s in other)))
    loss = contrast_loss(student, labels, anchor, labels, tau)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_contrast_loss_pools_pixels_of_unit_length() -> None:
    labels = torch.tensor([[[WATER, WATER, DRY]]], dtype=torch.uint8)
    long = embedding((100.0, 0.0), (0.0, 1.0), (1.0, 0.0))
    short = embedding((1.0, 0.0), (0.0, 1.0), (1.0, 0.0))
    losses = [contrast_loss(e, labels, short, labels, 0.3).item() for e in (long, short)]
    assert losses[0] == pytest.approx(losses[1])


def test_contrast_loss_teaches_something_with_one_water_object() -> None:
    labels = torch.tensor([[[WATER, DRY]]], dtype=torch.uint8)
    student = embedding((1.0, 0.2), (1.0, 0.0)).requires_grad_()
    torch.autograd.backward(
        contrast_loss(student, labels, embedding((1.0, 0.0), (0.0, 1.0)), labels, 0.3)
    )
    assert student.grad is not None
    assert student.grad.abs().sum() > 0.0


@pytest.mark.parametrize("label", [DRY, IGNORED])
def test_a_batch_without_any_water_has_a_finite_loss_and_gradient(label: int) -> None:
    labels = torch.full((2, 4, 4), label, dtype=torch.uint8)
    logits = torch.randn(2, 4, 4, requires_grad=True)
    map_ = torch.randn(2, 3, 2, 2, requires_grad=True)
    loss = (
        focal_loss(logits, labels)
        + dice_loss(logits, labels)
        + contrast_loss(map_, labels, map_.detach(), labels, 0.3)
    )
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert bool(logits.grad.any()) == (label == DRY)
