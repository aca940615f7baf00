from __future__ import annotations

import pytest
import torch

from lsm_monitor.model.build import ModelParts, WaterModel, build_model
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0, SameConv2d


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        pytest.param(
            ModelParts("vgg", "lite", 64), "unknown image_encoder 'vgg'", id="encoder"
        ),
        pytest.param(
            ModelParts("efficientnet_lite0", "unet", 64), "unknown small_model", id="small"
        ),
        pytest.param(
            ModelParts("efficientnet_lite0", "lite", 100), "multiple of 32, got 100", id="size"
        ),
    ],
)
def test_an_impossible_choice_of_parts_is_refused(parts: ModelParts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(parts)


def test_logits_have_a_quarter_of_the_inputs_size(model: WaterModel) -> None:
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 16, 16)


def test_every_parameter_of_the_model_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = build_model(ModelParts("efficientnet_lite0", "lite", 64)).train()
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_a_batch_of_two_equals_two_batches_of_one(model: WaterModel) -> None:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = model(images)
        apart = torch.cat([model(images[:1]), model(images[1:])])
    # Another batch size may pick another summation order: a few float32 roundings.
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_the_encoders_maps_are_finest_first_with_the_promised_channels() -> None:
    encoder = EfficientNetLite0().eval()
    with torch.inference_mode():
        maps = encoder(torch.zeros(1, 3, 64, 64))
    assert tuple(map_.shape[1] for map_ in maps) == encoder.channels == (24, 40, 112, 320)
    assert [map_.shape[-1] for map_ in maps] == [16, 8, 4, 2]


@pytest.mark.parametrize(("kernel_px", "before"), [(3, 0), (5, 1)])
def test_strided_padding_is_larger_on_the_far_side_as_in_tensorflow(
    kernel_px: int, before: int
) -> None:
    convolution = SameConv2d(1, 1, kernel_px, stride=2)
    torch.nn.init.zeros_(convolution.weight)
    # A kernel that only looks at its first tap reads input index 2 * i - before.
    convolution.weight.data[0, 0, 0, 0] = 1.0
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    row = convolution(ramp)[0, 0, 1]
    assert row.tolist() == pytest.approx([max(0, 2 * i - before) for i in range(4)])
