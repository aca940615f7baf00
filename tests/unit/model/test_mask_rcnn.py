from __future__ import annotations

import pytest
import torch
from torch import nn

from lsm_monitor.model.boxes import offsets_between
from lsm_monitor.model.instances import UNKNOWN, Instances, find_instances
from lsm_monitor.model.mask_rcnn import DRY_LOGIT, MaskRCNN, _Regions
from lsm_monitor.model.region_proposals import (
    AnchorPredictions,
    RegionProposer,
    proposal_loss,
    propose,
)
from lsm_monitor.model.resnet_fpn import PYRAMID_STRIDES_PX
from lsm_monitor.model.small_model import DRY, WATER

SIZE_PX = 128


def test_the_network_is_as_large_as_published_for_two_classes() -> None:
    with torch.device("meta"):
        model = MaskRCNN()
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(
        43.97, abs=0.01
    )
    assert model.size_px == 800


def test_where_no_instance_is_found_the_logit_says_dry() -> None:
    torch.manual_seed(0)
    model = MaskRCNN(size_px=64).eval()
    nn.init.constant_(model.box_head.score.bias, -1e6)
    with torch.inference_mode():
        logits = model(torch.randn(1, 3, 64, 64))
    assert torch.equal(logits, torch.full((1, 1, 16, 16), DRY_LOGIT))


@pytest.fixture
def proposer() -> RegionProposer:
    """A proposer that takes channel 0 for the logit of the square anchor."""
    proposer = RegionProposer()
    for layer in (proposer.shared, proposer.objectness, proposer.offsets):
        nn.init.zeros_(layer.weight)
    nn.init.dirac_(proposer.shared.weight)
    with torch.no_grad():
        proposer.objectness.weight[1, 0] = 1.0
    return proposer


def dark_maps() -> list[torch.Tensor]:
    return [torch.zeros(1, 256, SIZE_PX // s, SIZE_PX // s) for s in PYRAMID_STRIDES_PX]


def test_the_best_proposal_is_the_anchor_of_the_cell_that_is_most_sure(
    proposer: RegionProposer,
) -> None:
    maps = dark_maps()
    maps[0][0, 0, 20, 12] = 5.0  # stride 4: a square of 32 px round x = 50, y = 82
    maps[1][0, 0, 6, 8] = 4.0  # stride 8: a square of 64 px round x = 68, y = 52
    with torch.no_grad():
        best = propose(proposer(maps), SIZE_PX)[0]
    assert best[0].tolist() == [34, 66, 66, 98]
    assert best[1].tolist() == [36, 20, 100, 84]


def test_proposals_lie_inside_the_picture_and_are_at_most_a_thousand(
    proposer: RegionProposer,
) -> None:
    torch.manual_seed(0)
    nn.init.normal_(proposer.offsets.weight)
    with torch.no_grad():
        boxes = propose(proposer([torch.randn_like(map_) for map_ in dark_maps()]), SIZE_PX)[0]
    assert 0 < len(boxes) <= 1000
    assert (boxes >= 0).all()
    assert (boxes <= SIZE_PX).all()


def anchor_predictions(objectness: list[float], offset: float) -> AnchorPredictions:
    """One anchor on a lake of (0, 0, 32, 32) and one on dry ground."""
    return AnchorPredictions(
        anchors=torch.tensor([[0.0, 0, 32, 32], [64, 64, 96, 96]]),
        counts=(2,),
        objectness=torch.tensor([objectness]),
        offsets=torch.full((1, 2, 4), offset),
    )


def test_the_proposal_loss_falls_with_right_objectness_and_right_boxes() -> None:
    labels = torch.full((SIZE_PX, SIZE_PX), DRY, dtype=torch.uint8)
    labels[:32, :32] = WATER
    instances = [find_instances(labels)]
    right = proposal_loss(anchor_predictions([20.0, -20.0], offset=0.0), instances)
    assert right.item() == pytest.approx(0, abs=1e-6)
    assert proposal_loss(anchor_predictions([-20.0, -20.0], offset=0.0), instances) > 5
    assert proposal_loss(anchor_predictions([20.0, -20.0], offset=1.0), instances) > 1


class _KnowingHead(nn.Module):
    """Sure of water, and of the way from the first box to the second."""

    def __init__(self, box: torch.Tensor, target: torch.Tensor, scales: torch.Tensor) -> None:
        super().__init__()
        self.offsets = offsets_between(box, target) * scales
        self.scales = scales

    def forward(self, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(regions)
        return torch.full((count,), 20.0), self.offsets.expand(count, -1)


def test_the_box_that_costs_nothing_in_training_is_the_box_that_is_detected() -> None:
    model = MaskRCNN(size_px=SIZE_PX)
    box = torch.tensor([[32.0, 32, 96, 80]])
    lake = torch.tensor([[20.0, 40, 100, 90]])
    assert model.box_head.scales.tolist() == [10, 10, 5, 5]
    head = _KnowingHead(box, lake, model.box_head.scales)
    model.box_head = head  # type: ignore[assignment]  # a fake with the same promises
    region = _Regions(box, instance=torch.tensor([0]), negatives=torch.zeros(0, 4))
    nowhere = torch.zeros(SIZE_PX, SIZE_PX, dtype=torch.int64)
    cost = model._box_loss(dark_maps(), [region], [Instances(lake, nowhere)])
    assert cost.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(model._detect(dark_maps(), [box])[0], lake)


def test_masks_learn_nothing_from_pixels_without_a_label() -> None:
    torch.manual_seed(0)
    model = MaskRCNN(size_px=SIZE_PX)
    lake = torch.tensor([[32.0, 32, 96, 96]])
    ids = torch.zeros(SIZE_PX, SIZE_PX, dtype=torch.int64)
    ids[32:96, 32:64] = 1
    ids[64:, :] = UNKNOWN
    region = _Regions(lake, instance=torch.tensor([0]), negatives=torch.zeros(0, 4))
    seen: list[torch.Tensor] = []

    def keep(_module: nn.Module, _inputs: object, logits: torch.Tensor) -> None:
        logits.retain_grad()
        seen.append(logits)

    model.mask_head.register_forward_hook(keep)
    maps = [torch.randn_like(map_) for map_ in dark_maps()]
    torch.autograd.backward(model._mask_loss(maps, [region], [Instances(lake, ids)]))
    gradient = seen[0].grad
    assert gradient is not None
    assert (gradient[0, 0, :14, :14] < 0).all()  # more water
    assert (gradient[0, 0, :14, 14:] > 0).all()  # less
    assert not gradient[0, 0, 14:].any()
