from __future__ import annotations

import pytest
import torch

from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.losses import water_loss


def labels_of(value: int) -> torch.Tensor:
    return torch.full((2, 16, 16), value, dtype=torch.uint8)


def test_a_dry_batch_gives_a_finite_loss_that_pushes_every_pixel_down() -> None:
    logits = torch.zeros(2, 1, 16, 16, requires_grad=True)
    loss = water_loss(logits, labels_of(DRY))
    assert torch.isfinite(loss)
    assert (torch.autograd.grad(loss, logits)[0] > 0).all()


@pytest.mark.parametrize("logit", [-80.0, 80.0])
@pytest.mark.parametrize("label", [DRY, WATER])
def test_loss_and_gradient_are_finite_however_sure_the_model_is(
    logit: float, label: int
) -> None:
    logits = torch.full((2, 1, 16, 16), logit, requires_grad=True)
    loss = water_loss(logits, labels_of(label))
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


@pytest.mark.parametrize("label", [DRY, WATER])
def test_being_right_costs_nearly_nothing_and_being_wrong_a_lot(label: int) -> None:
    sign = 1.0 if label == WATER else -1.0
    right = water_loss(torch.full((2, 1, 16, 16), 12.0 * sign), labels_of(label))
    wrong = water_loss(torch.full((2, 1, 16, 16), -12.0 * sign), labels_of(label))
    assert right < 0.01
    assert wrong > 2.0


def test_ignored_pixels_neither_cost_nor_teach() -> None:
    labels = labels_of(DRY)
    labels[:, :8] = IGNORED
    logits = torch.zeros(2, 1, 16, 16, requires_grad=True)
    other = torch.zeros(2, 1, 16, 16)
    other[:, :, :8] = 9.0
    loss = water_loss(logits, labels)
    assert water_loss(other, labels) == loss
    assert not torch.autograd.grad(loss, logits)[0][:, :, :8].any()


def test_a_batch_of_nothing_but_ignored_pixels_costs_nothing() -> None:
    assert water_loss(torch.ones(2, 1, 16, 16), labels_of(IGNORED)) == 0.0
