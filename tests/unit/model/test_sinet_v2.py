from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lsm_monitor.model.sinet_v2 import SINetV2, _ReverseStage, structure_loss
from lsm_monitor.model.small_model import DRY, IGNORED, WATER


def test_the_network_is_as_large_as_published_but_for_the_unused_classifier() -> None:
    with torch.device("meta"):
        model = SINetV2()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    classifier = 2048 * 1000 + 1000  # Res2Net's, of ImageNet; never called
    assert parameters + classifier == pytest.approx(26.98e6, abs=0.01e6)
    assert model.size_px == 352


def test_there_are_four_logit_maps_of_the_networks_size_and_the_last_is_the_answer() -> None:
    torch.manual_seed(0)
    model = SINetV2(size_px=64).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        outputs = model.outputs(images)
        answer = model(images)
    assert [tuple(logits.shape) for logits in outputs] == [(1, 1, 64, 64)] * 4
    assert torch.equal(answer, outputs[-1])
    assert answer.min() < 0 < answer.max()


def test_a_stage_starts_from_what_the_coarser_map_did_not_find_and_adds_to_it() -> None:
    stage = _ReverseStage()
    for name, parameter in stage.named_parameters():
        if "score" in name:
            nn.init.zeros_(parameter)
    coarser = torch.linspace(-4, 4, 9).reshape(1, 1, 3, 3)
    refined = stage(torch.randn(1, 32, 3, 3), coarser)
    torch.testing.assert_close(refined, coarser + (1 - coarser.sigmoid()))


def lake() -> torch.Tensor:
    """(1, 96, 96) labels: the left half is water."""
    labels = torch.full((1, 96, 96), DRY, dtype=torch.uint8)
    labels[:, :, :48] = WATER
    return labels


def gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    logits = logits.clone().requires_grad_()
    torch.autograd.backward(structure_loss(logits, labels))
    assert logits.grad is not None
    return logits.grad[:, 0]


def test_a_pixel_at_the_shore_weighs_up_to_six_times_one_in_the_open() -> None:
    # Very dry logits: the IoU term is flat there, so only the cross-entropy pulls.
    pull = -gradient(torch.full((1, 1, 96, 96), -30.0), lake())[0, 48]
    assert pull[47] / pull[5] == pytest.approx(1 + 5 * 15 / 31, rel=1e-3)
    # A lone puddle of one pixel is all shore.
    puddle = torch.full((1, 96, 96), DRY, dtype=torch.uint8)
    puddle[0, 40, 40] = WATER
    lone = -gradient(torch.full((1, 1, 96, 96), -30.0), puddle)[0, 40, 40]
    weights = 96 * 96 + 5 * (1 - 31**-2) + 5 * (31**2 - 1) / 31**2
    assert lone.item() == pytest.approx((1 + 5 * (1 - 31**-2)) / weights, rel=1e-3)


def test_an_error_at_the_shore_costs_more_than_the_same_error_in_the_open() -> None:
    right = torch.where(lake() == WATER, 8.0, -8.0)[:, None]
    at_shore, in_the_open = right.clone(), right.clone()
    at_shore[0, 0, 40, 47] = -8.0
    in_the_open[0, 0, 40, 10] = -8.0
    assert structure_loss(at_shore, lake()) > structure_loss(in_the_open, lake())


def test_the_border_of_the_picture_is_no_shore() -> None:
    flood = torch.full((1, 96, 96), WATER, dtype=torch.uint8)
    pull = gradient(torch.zeros(1, 1, 96, 96), flood)
    torch.testing.assert_close(pull, pull[0, 48, 48].expand_as(pull))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), columns=st.integers(1, 39))
def test_ignoring_a_part_of_a_picture_equals_cutting_it_off(seed: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 1, 40, 40, generator=generator)
    labels = torch.randint(0, 2, (2, 40, 40), generator=generator, dtype=torch.uint8)
    cut = structure_loss(logits[..., :columns], labels[..., :columns])
    labels[..., columns:] = IGNORED
    torch.testing.assert_close(structure_loss(logits, labels), cut, rtol=1e-4, atol=1e-5)
    assert not gradient(logits, labels)[..., columns:].any()


def test_the_loss_ranks_answers_and_a_perfect_one_costs_nothing() -> None:
    right = torch.where(lake() == WATER, 30.0, -30.0)[:, None]
    costs = [structure_loss(scale * right, lake()).item() for scale in (1, 0.01, -0.01)]
    assert costs[0] == pytest.approx(0, abs=1e-4)
    assert costs == sorted(costs)
