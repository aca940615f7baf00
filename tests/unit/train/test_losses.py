from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_train.config import LossesSection
from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.losses import large_loss

WEIGHTS = LossesSection()
TERMS = [
    LossesSection(focal=float(term == 0), cross_entropy=float(term == 1), iou=float(term == 2))
    for term in range(3)
]


def labels_of(value: int) -> torch.Tensor:
    return torch.full((2, 16, 16), value, dtype=torch.uint8)


@pytest.mark.parametrize("weights", TERMS, ids=["focal", "cross-entropy", "iou"])
def test_each_term_pushes_every_pixel_of_a_dry_picture_down(weights: LossesSection) -> None:
    logits = torch.zeros(2, 1, 16, 16, requires_grad=True)
    loss = large_loss(logits, labels_of(DRY), weights)
    assert torch.isfinite(loss)
    assert (torch.autograd.grad(loss, logits)[0] > 0).all()


@pytest.mark.parametrize("logit", [-80.0, 80.0])
@pytest.mark.parametrize("label", [DRY, WATER])
def test_loss_and_gradient_are_finite_however_sure_the_model_is(
    logit: float, label: int
) -> None:
    logits = torch.full((2, 1, 16, 16), logit, requires_grad=True)
    loss = large_loss(logits, labels_of(label), WEIGHTS)
    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


@pytest.mark.parametrize("label", [DRY, WATER])
def test_being_right_costs_nearly_nothing_and_being_wrong_a_lot(label: int) -> None:
    sign = 1.0 if label == WATER else -1.0
    right = large_loss(torch.full((2, 1, 16, 16), 12.0 * sign), labels_of(label), WEIGHTS)
    wrong = large_loss(torch.full((2, 1, 16, 16), -12.0 * sign), labels_of(label), WEIGHTS)
    assert right < 0.01
    assert wrong > 2.0


@settings(deadline=None)  # torch's first calls are slow
@given(elsewhere=st.floats(-20.0, 20.0), seed=st.integers(0, 1000))
def test_ignored_pixels_neither_cost_nor_teach(elsewhere: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (2, 16, 16), dtype=torch.uint8, generator=generator)
    labels[:, :8] = IGNORED
    logits = torch.randn(2, 1, 16, 16, generator=generator).requires_grad_()
    other = logits.detach().clone()
    other[:, :, :8] = elsewhere
    loss = large_loss(logits, labels, WEIGHTS)
    assert large_loss(other, labels, WEIGHTS) == loss
    gradient = torch.autograd.grad(loss, logits)[0]
    assert not gradient[:, :, :8].any()
    assert gradient[:, :, 8:].all()


def test_a_picture_costs_what_its_valid_half_would_cost_alone() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1, 16, 16), torch.randint(0, 2, (2, 16, 16)).byte()
    alone = large_loss(logits[:, :, 8:], labels[:, 8:], WEIGHTS)
    labels[:, :8] = IGNORED
    torch.testing.assert_close(large_loss(logits, labels, WEIGHTS), alone)


def test_a_batch_of_nothing_but_ignored_pixels_costs_nothing() -> None:
    assert large_loss(torch.ones(2, 1, 16, 16), labels_of(IGNORED), WEIGHTS) == 0.0


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 16, 16)).byte()
    parts = [float(large_loss(logits, labels, weights)) for weights in TERMS]
    whole = large_loss(logits, labels, LossesSection(focal=2.0, cross_entropy=3.0, iou=5.0))
    assert float(whole) == pytest.approx(2 * parts[0] + 3 * parts[1] + 5 * parts[2])


def test_undecided_pixels_cost_what_the_formulas_say() -> None:
    # p = 0.5: focal 0.25 * 0.5^2 * ln 2, cross-entropy ln 2, IoU 1 - (128 + 1) / (256 + 1).
    logits = torch.zeros(2, 1, 16, 16)
    found = [float(large_loss(logits, labels_of(WATER), weights)) for weights in TERMS]
    ln2 = 0.6931472
    assert found == pytest.approx([0.0625 * ln2, ln2, 1 - 129 / 257])
