from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_train.class_loss import ClassTeaching, class_loss
from lsm_train.config import LossesSection
from lsm_train.surfaces import DRY, IGNORED, OFF_ROAD, ROAD, VEHICLE, WATER, possible_classes

FIVE = ("other", "dry_road", "wet_road", "water", "vehicle")
ALL = LossesSection()
TERMS = [
    LossesSection(focal=float(term == 0), cross_entropy=float(term == 1), iou=float(term == 2))
    for term in range(3)
]


def teaching(**weights: float) -> ClassTeaching:
    possible = possible_classes(FIVE)
    each = torch.tensor([weights.get(name, 1.0) for name in FIVE])
    mean = (possible * each).sum(1) / possible.sum(1)
    return ClassTeaching(possible, mean.masked_fill(possible.all(1), 0.0))


def labels_of(value: int, batch: int = 2) -> torch.Tensor:
    return torch.full((batch, 8, 8), value, dtype=torch.uint8)


def test_undecided_pixels_cost_what_the_formulas_say() -> None:
    # Five classes alike: q is 2/5 for road, 1/5 for water.
    logits = torch.zeros(1, 5, 8, 8)
    for label, q in ((ROAD, 0.4), (WATER, 0.2), (DRY, 0.8)):
        focal, cross_entropy = (
            float(class_loss(logits, labels_of(label, 1), teaching(), weights))
            for weights in TERMS[:2]
        )
        assert cross_entropy == pytest.approx(-math.log(q), rel=1e-5)
        assert focal == pytest.approx(-((1 - q) ** 2) * math.log(q), rel=1e-5)
    # Water everywhere, p = 0.2: 1 - (0.2 * 64 + 1) / (64 + 1), and of each other class
    # 1 - (0 + 1) / (0.2 * 64 + 1).
    expected = ((1 - 13.8 / 65) + 4 * (1 - 1 / 13.8)) / 5
    found = float(class_loss(logits, labels_of(WATER, 1), teaching(), TERMS[2]))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_set_of_classes_pulls_up_its_sum_and_pushes_down_the_rest() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 8, 8, requires_grad=True)
    loss = class_loss(logits, labels_of(ROAD), teaching(), TERMS[1])
    gradient = torch.autograd.grad(loss, logits)[0]
    assert (gradient[:, [1, 2]] < 0).all()
    assert (gradient[:, [0, 3, 4]] > 0).all()
    # Within the set nobody is preferred: the share of each stays what the model thinks.
    shares = logits[:, [1, 2]].softmax(1)
    pulls = gradient[:, [1, 2]] / gradient[:, [1, 2]].sum(1, keepdim=True)
    torch.testing.assert_close(pulls, shares)


@settings(deadline=None, max_examples=20)
@given(elsewhere=st.floats(-20.0, 20.0), seed=st.integers(0, 1000))
def test_ignored_pixels_neither_cost_nor_teach(elsewhere: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 8, (2, 8, 8), dtype=torch.uint8, generator=generator)
    labels[:, :4] = IGNORED
    logits = torch.randn(2, 5, 8, 8, generator=generator).requires_grad_()
    other = logits.detach().clone()
    other[:, 0, :4] = elsewhere
    loss = class_loss(logits, labels, teaching(), ALL)
    torch.testing.assert_close(class_loss(other, labels, teaching(), ALL), loss)
    gradient = torch.autograd.grad(loss, logits)[0]
    assert not gradient[:, :, :4].any()
    assert gradient[:, :, 4:].any()


def test_nothing_but_ignored_pixels_cost_nothing() -> None:
    logits = torch.randn(2, 5, 8, 8, requires_grad=True)
    loss = class_loss(logits, labels_of(IGNORED), teaching(), ALL)
    assert loss == 0.0
    assert not torch.autograd.grad(loss, logits)[0].any()


@pytest.mark.parametrize("label", [DRY, WATER, ROAD, OFF_ROAD, VEHICLE, IGNORED])
def test_loss_and_gradient_are_finite_however_sure_the_model_is(label: int) -> None:
    logits = torch.zeros(2, 5, 8, 8)
    logits[:, 3] = 300.0
    logits.requires_grad_()
    loss = class_loss(logits, labels_of(label), teaching(), ALL)
    assert torch.isfinite(loss)
    assert torch.autograd.grad(loss, logits)[0].isfinite().all()


def test_a_class_of_more_weight_counts_for_more() -> None:
    labels = labels_of(WATER)
    labels[:, :4] = VEHICLE
    logits = torch.zeros(2, 5, 8, 8)
    logits[:, 3] = 2.0  # right about the water, wrong about the vehicles
    plain, heavy = (
        float(class_loss(logits, labels, teaching(vehicle=weight), TERMS[1]))
        for weight in (1.0, 3.0)
    )
    of_water = -float(logits.log_softmax(1)[0, 3, 0, 0])
    of_vehicle = -float(logits.log_softmax(1)[0, 4, 0, 0])
    assert plain == pytest.approx((of_water + of_vehicle) / 2)
    assert heavy == pytest.approx((of_water + 3 * of_vehicle) / 4)
