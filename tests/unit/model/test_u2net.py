from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.small_model import IGNORED
from lsm_monitor.model.u2net import U2Net, U2NetP


@pytest.mark.parametrize(
    ("build", "parameters", "megabytes"),
    [
        pytest.param(U2Net, 44_009_869, 176.2, id="u2net"),
        pytest.param(U2NetP, 1_131_181, 4.5, id="u2netp"),
    ],
)
def test_the_network_is_as_large_as_published(
    build: type[U2Net], parameters: int, megabytes: float
) -> None:
    with torch.device("meta"):
        model = build()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    state = model.state_dict().values()
    assert sum(tensor.nbytes for tensor in state) / 1e6 == pytest.approx(megabytes, abs=0.1)
    assert model.size_px == 320


def test_there_are_seven_logit_maps_of_the_networks_size_and_the_first_is_the_answer() -> None:
    torch.manual_seed(0)
    model = U2NetP(size_px=64).eval()
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        outputs = model.outputs(images)
        answer = model(images)
    assert [tuple(logits.shape) for logits in outputs] == [(1, 1, 64, 64)] * 7
    assert torch.equal(answer, outputs[0])
    # No sigmoid inside: both signs occur.
    assert answer.min() < 0 < answer.max()


def test_the_loss_is_the_sum_of_seven_cross_entropies_over_labelled_pixels() -> None:
    torch.manual_seed(0)
    model = U2NetP(size_px=64).eval()
    images = torch.randn(2, 3, 64, 64)
    labels = torch.randint(0, 2, (2, 64, 64), dtype=torch.uint8)
    labels[:, :, 40:] = IGNORED
    with torch.inference_mode():
        loss = model.loss(images, labels)
        expected = sum(
            F.binary_cross_entropy_with_logits(
                logits[:, 0, :, :40], labels[:, :, :40].float()
            ).item()
            for logits in model.outputs(images)
        )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def dilations(module: nn.Module) -> list[int]:
    return [layer.dilation[0] for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_the_inner_us_pool_and_the_two_coarsest_dilate_instead() -> None:
    with torch.device("meta"):
        model = U2Net()
    # Entry, down, bottom, up; RSU-7 and RSU-4F of the paper's Fig. 2 and 5.
    assert dilations(model.downs[0]) == [1] + [1] * 6 + [2] + [1] * 6
    for coarse in (model.downs[4], model.downs[5], model.ups[0]):
        assert dilations(coarse) == [1, 1, 2, 4, 8, 4, 2, 1]


def test_an_inner_u_adds_to_its_first_convolution() -> None:
    torch.manual_seed(0)
    u = U2NetP(size_px=64).downs[0].eval()
    u.get_submodule("ups.5.1").load_state_dict(
        {"weight": torch.zeros(64), "bias": torch.full((64,), 2.0)}, strict=False
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(u(images), u.get_submodule("entry")(images) + 2.0)
