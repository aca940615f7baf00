"""What each small model of the paper promises, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from lsm_monitor.model import mask_rcnn, region_proposals
from lsm_monitor.model.mask_rcnn import MaskRCNN
from lsm_monitor.model.sinet_v2 import SINetV2
from lsm_monitor.model.small_model import DRY, IGNORED, WATER, SmallModel
from lsm_monitor.model.u2net import U2NetP

SIZE_PX = 64  # of the networks
INPUT_PX = 96  # of the pictures


@dataclass(frozen=True)
class Case:
    build: Callable[[], SmallModel]
    logits_side: int
    biases: tuple[str, ...]  # of what says "water"
    # Batch norm on random weights amplifies float32's roundings; in Mask R-CNN a rounding
    # moves a box by 1e-4 px, and its steep edge with it. The faults to be found are of 1.
    tolerance: float = 0.01


CASES = {
    "u2netp": Case(lambda: U2NetP(size_px=SIZE_PX), 64, ("fuse.bias", "sides.0.bias")),
    "sinet_v2": Case(lambda: SINetV2(size_px=SIZE_PX), 64, ("decoder.logits.bias",)),
    "mask_rcnn": Case(
        lambda: MaskRCNN(size_px=SIZE_PX),
        16,
        ("proposer.objectness.bias", "box_head.score.bias"),
        tolerance=0.05,
    ),
}


@pytest.fixture(scope="module", params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture(scope="module")
def model(case: Case) -> Iterator[SmallModel]:
    """The real network, but with few regions: its dense layers take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_rcnn, "_SAMPLES", 32)
        patch.setattr(region_proposals, "_KEPT", 32)
        torch.manual_seed(0)
        yield case.build()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, INPUT_PX, INPUT_PX, generator=torch.Generator().manual_seed(1))


def labelled(value: int) -> torch.Tensor:
    return torch.full((2, INPUT_PX, INPUT_PX), value, dtype=torch.uint8)


def test_a_wet_picture_gives_every_parameter_a_gradient(
    model: SmallModel, images: torch.Tensor
) -> None:
    labels = labelled(DRY)
    labels[0, 20:80, 30:70] = WATER
    model.train().zero_grad()
    torch.autograd.backward(model.loss(images, labels))
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_a_dry_picture_gives_a_finite_loss_that_pushes_towards_dry(
    case: Case, model: SmallModel, images: torch.Tensor
) -> None:
    model.train().zero_grad()
    loss = model.loss(images, labelled(DRY))
    torch.autograd.backward(loss)
    assert loss.ndim == 0
    assert loss.isfinite()
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()
    for name in case.biases:
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        assert (gradient > 0).all()


def test_a_picture_without_labels_costs_nothing(
    model: SmallModel, images: torch.Tensor
) -> None:
    with torch.no_grad():
        assert model.train().loss(images, labelled(IGNORED)) == 0.0


def test_a_batch_of_two_equals_two_batches_of_one(
    case: Case, model: SmallModel, images: torch.Tensor
) -> None:
    settle(model, images)
    with torch.inference_mode():
        together = model(images)
        apart = torch.cat([model(images[:1]), model(images[1:])])
    assert together.shape == (2, 1, case.logits_side, case.logits_side)
    assert together.std() > 0
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=case.tolerance)


@pytest.mark.parametrize("size_px", [0, 100])
@pytest.mark.parametrize("build", [U2NetP, SINetV2, MaskRCNN])
def test_a_size_that_the_strides_do_not_divide_is_refused(
    build: Callable[..., SmallModel], size_px: int
) -> None:
    with pytest.raises(ValueError, match=f"multiple of 32, got {size_px}"):
        build(size_px=size_px)


def settle(model: SmallModel, images: torch.Tensor) -> None:
    """Give batch norm the statistics of ``images`` and spread the scores, as training would.

    Without, activations grow from block to block, and regions are scored alike.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    if isinstance(model, MaskRCNN):
        nn.init.normal_(model.proposer.objectness.weight)
        nn.init.normal_(model.box_head.score.weight)
    with torch.no_grad():
        model.train()(images)
    model.eval()
