from __future__ import annotations

import pytest
import torch
from torch import nn

from lsm_monitor.model.classwise_decoder import ClassWiseDecoder, split_water
from lsm_monitor.model.mask_decoder import MaskDecoder
from lsm_monitor.model.parts import ClassWiseParts

FIVE = ClassWiseParts(kind="classwise")
WATER = FIVE.classes.index("water")
Inputs = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def decoder() -> ClassWiseDecoder:
    torch.manual_seed(0)
    return ClassWiseDecoder(FIVE).eval()


def _inputs(batch: int = 2) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2 * batch + 1, 256, 3, 4, generator=generator)
    return {
        "embeddings": maps[:batch],
        "dense": maps[batch:-1],
        "positions": maps[-1:],
        "sparse": torch.randn(batch, 2, 256, generator=generator),
    }


def _picture(inputs: Inputs, index: int) -> Inputs:
    return {
        name: tensor if name == "positions" else tensor[index : index + 1]
        for name, tensor in inputs.items()
    }


def test_the_class_head_has_the_parameters_of_the_published_one(
    decoder: ClassWiseDecoder,
) -> None:
    # ConvT(64 -> 64, k2) + LayerNorm(64) + Conv(64 -> 32 * 5, k7), beside SAM's decoder.
    head = sum(p.numel() for p in decoder.class_head.parameters())
    assert head == (64 * 64 * 4 + 64) + 2 * 64 + (64 * 160 * 49 + 160) == 518_496
    assert sum(p.numel() for p in decoder.parameters()) == 4_058_340 + head


def test_it_is_the_published_arithmetic_on_sams_decoder(decoder: ClassWiseDecoder) -> None:
    """Written down once more, picture by picture, as the description has it."""
    inputs = _inputs()
    logits, _ = decoder(**inputs)
    assert logits.shape == (2, 5, 12, 16)
    deconvolution, norm, activation, wide, last = decoder.class_head
    for index in range(2):
        one = _picture(inputs, index)
        output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens, pixels = decoder.transformer(
            one["embeddings"] + one["dense"],
            one["positions"],
            torch.cat([output[None], one["sparse"]], dim=1),
        )
        pixels = pixels.transpose(1, 2).view(1, 256, 3, 4)
        upscale = nn.Sequential(*decoder.output_upscaling)
        joined = torch.cat([upscale(pixels), upscale(one["embeddings"])], dim=1)
        head = last(wide(activation(norm(deconvolution(joined)))))
        by_class = head.view(1, 32, 5 * 12 * 16)
        vector = decoder.output_hypernetworks_mlps[0](tokens[:, 1])
        expected = (vector[:, None] @ by_class).view(1, 5, 12, 16)
        torch.testing.assert_close(logits[index : index + 1], expected)


def test_a_batch_of_two_is_two_batches_of_one(decoder: ClassWiseDecoder) -> None:
    inputs = _inputs()
    alone = [decoder(**_picture(inputs, index))[0] for index in range(2)]
    torch.testing.assert_close(decoder(**inputs)[0], torch.cat(alone))


def test_it_takes_sams_weights_and_adds_a_class_head_alone(decoder: ClassWiseDecoder) -> None:
    missing, unknown = decoder.load_state_dict(MaskDecoder().state_dict(), strict=False)
    assert unknown == []
    assert {name.split(".")[0] for name in missing} == {"class_head"}


@pytest.mark.parametrize("separable", [False, True])
def test_everything_but_what_it_calls_idle_learns(*, separable: bool) -> None:
    torch.manual_seed(0)
    decoder = ClassWiseDecoder(FIVE, separable=separable)
    decoder(**_inputs())[0].square().sum().backward()
    idle = {id(p) for p in decoder.idle_parameters()}
    for name, parameter in decoder.named_parameters():
        if id(parameter) in idle:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
    assert idle


def test_a_separable_head_has_a_tenth_of_the_parameters(decoder: ClassWiseDecoder) -> None:
    light = ClassWiseDecoder(FIVE, separable=True).eval()
    assert light(**_inputs())[0].shape == decoder(**_inputs())[0].shape
    assert sum(p.numel() for p in light.class_head.parameters()) == 30_176


def test_waters_log_odds_and_the_other_classes_are_the_same_softmax() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 4, 4) * 2
    log_odds, others = split_water(logits, WATER)
    probability = logits.softmax(1)
    torch.testing.assert_close(log_odds.sigmoid(), probability[:, WATER : WATER + 1])
    on_dry_ground = probability[:, [0, 1, 2, 4]] / (1 - probability[:, WATER : WATER + 1])
    torch.testing.assert_close(others.exp(), on_dry_ground)
