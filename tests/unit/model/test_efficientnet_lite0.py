from __future__ import annotations

import pytest
import torch

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0, SameConv2d
from tests.unit.model.models import noise


@pytest.fixture(scope="module")
def encoder() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0().eval()


def test_the_encoders_maps_are_finest_first_with_the_promised_channels(
    encoder: EfficientNetLite0,
) -> None:
    with torch.inference_mode():
        maps = encoder(torch.zeros(1, 3, 64, 64))
    assert tuple(map_.shape[1] for map_ in maps) == encoder.channels == (24, 40, 112, 320)
    assert [map_.shape[-1] for map_ in maps] == [16, 8, 4, 2]


def test_stage_inputs_are_what_the_stages_get(encoder: EfficientNetLite0) -> None:
    features = encoder.embed_patches(torch.zeros(1, 3, 64, 64))
    assert features.shape[1] == encoder.embedded_channels
    for (channels, stride), stage in zip(encoder.stage_inputs, encoder.stages, strict=True):
        assert features.shape == (1, channels, 64 // stride, 64 // stride)
        features = stage(features)


def test_each_prompt_is_added_before_its_stage(encoder: EfficientNetLite0) -> None:
    with torch.inference_mode():
        embedded = encoder.embed_patches(noise(1))
        features, wanted = embedded, []
        prompts: list[torch.Tensor | None] = []
        for index, stage in enumerate(encoder.stages):
            prompts.append(torch.full_like(features, 0.1 * index) if index % 2 else None)
            features = stage(features if index % 2 == 0 else features + 0.1 * index)
            if index in {1, 2, 4, 6}:  # the last stage of its resolution
                wanted.append(features)
        found = encoder.run_blocks(embedded, prompts)
    for map_, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(map_, expected)


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
