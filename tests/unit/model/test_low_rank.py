"""Low-rank updates: nothing at first, the published count on SAM, gone once merged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.low_rank import (
    LowRank,
    add_low_rank,
    factors,
    fresh_factors,
    load_factors,
    low_rank_layers,
    merge_low_rank,
)
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit
from tests.unit.model.models import TINY_VIT, noise


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return EfficientNetLite0().eval()


def vit() -> nn.Module:
    torch.manual_seed(0)
    return SamVit(TINY_VIT, 64).eval()


@torch.inference_mode()
def run(encoder: nn.Module) -> tuple[torch.Tensor, ...]:
    maps: tuple[torch.Tensor, ...] = encoder(noise(2))
    return maps


def teach(learned: list[nn.Parameter]) -> None:
    """Move every factor away from where it started."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in learned:
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("build", [cnn, vit])
def test_fresh_updates_leave_the_output_as_it_is_bit_for_bit(
    build: Callable[[], nn.Module],
) -> None:
    encoder = build()
    before = run(encoder)
    add_low_rank(encoder, 4)
    assert all(map(torch.equal, run(encoder), before))


@pytest.mark.parametrize("build", [cnn, vit])
def test_merged_updates_are_plain_weights_with_the_same_output(
    build: Callable[[], nn.Module],
) -> None:
    encoder, plain = build(), build()
    teach(add_low_rank(encoder, 4))
    taught = run(encoder)
    assert not torch.equal(taught[-1], run(plain)[-1])
    merge_low_rank(encoder)
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    assert all(map(torch.equal, run(encoder), taught))


@pytest.mark.parametrize("build", [cnn, vit])
def test_stored_updates_give_a_plain_encoder_the_same_output(
    build: Callable[[], nn.Module],
) -> None:
    encoder, loaded = build(), build()
    teach(add_low_rank(encoder, 4))
    stored = factors(encoder, "e.")
    assert {name: tensor.shape for name, tensor in fresh_factors(loaded, 4, "e.").items()} == {
        name: tensor.shape for name, tensor in stored.items()
    }
    load_factors(loaded, 4, stored, "e.")
    assert all(map(torch.equal, run(encoder), run(loaded)))


def test_sam_vit_b_has_the_published_number_of_trainable_parameters() -> None:
    with torch.device("meta"):
        encoder = SamVit(VIT_SIZES["b"], 1024)
        learned = add_low_rank(encoder, 4)
    assert sum(parameter.numel() for parameter in learned) == 147_456
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 147_456


def test_in_a_transformer_only_query_and_value_rows_change() -> None:
    weight = torch.zeros(6, 2)
    update = LowRank(weight, 1, (True, False, True))
    with torch.no_grad():
        update.down.copy_(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]))
        update.up.copy_(torch.tensor([[[1.0], [10.0]], [[100.0], [1000.0]]]))
    expected = [[1, 2], [10, 20], [0, 0], [0, 0], [300, 400], [3000, 4000]]
    assert torch.equal(update(weight), torch.tensor(expected, dtype=torch.float32))


def test_in_a_cnn_every_pointwise_convolution_learns_and_nothing_else() -> None:
    encoder = cnn()
    names = {name for name, _, _ in low_rank_layers(encoder, 4)}
    pointwise = {
        name
        for name, layer in encoder.named_modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
    }
    assert names == pointwise
    assert len(names) == 31


def test_a_layer_as_narrow_as_the_rank_gets_no_update() -> None:
    assert not list(low_rank_layers(nn.Sequential(nn.Conv2d(64, 4, 1)), 4))
    assert len(list(low_rank_layers(nn.Sequential(nn.Conv2d(64, 5, 1)), 4))) == 1


def test_updates_cannot_be_added_twice() -> None:
    encoder = cnn()
    add_low_rank(encoder, 4)
    with pytest.raises(ValueError, match="has a low-rank update already; merge it first"):
        add_low_rank(encoder, 4)
