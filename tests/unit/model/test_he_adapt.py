from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.he_adapt import CnnHeAdapt, VitHeAdapt, flat_weights
from lsm_monitor.model.image_encoder import ImageEncoder
from lsm_monitor.model.lsm_adapter import AdaptedEncoder
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit
from tests.unit.model.models import SIZE_PX, TINY_VIT, noise, parameter_count


def adapted_vit() -> AdaptedEncoder:
    torch.manual_seed(0)
    vit = SamVit(TINY_VIT, SIZE_PX)
    return AdaptedEncoder(vit, VitHeAdapt(vit.width, vit.depth, vit.patch_px)).eval()


def adapted_cnn() -> AdaptedEncoder:
    torch.manual_seed(0)
    cnn = EfficientNetLite0()
    adapter = CnnHeAdapt(cnn.embedded_channels, cnn.stage_inputs)
    nn.init.normal_(adapter.shared.weight, std=0.1)  # as trained; it starts at zero
    return AdaptedEncoder(cnn, adapter).eval()


@pytest.fixture(scope="module", params=[adapted_vit, adapted_cnn], ids=["vit", "cnn"])
def encoder(request: pytest.FixtureRequest) -> AdaptedEncoder:
    made: AdaptedEncoder = request.param()
    return made


def difference(one: tuple[torch.Tensor, ...], other: tuple[torch.Tensor, ...]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def test_on_vit_b_at_1024_px_it_is_sam_adapters_generator() -> None:
    size = VIT_SIZES["b"]
    with torch.device("meta"):
        adapter = VitHeAdapt(size.width, size.depth, patch_px=16)
        prompts = adapter(torch.empty(2, 64, 64, 768), torch.empty(2, 3, 1024, 1024))
    assert parameter_count(adapter) == 63_312
    assert [tuple(prompt.shape) for prompt in prompts] == 12 * [(2, 64, 64, 768)]


def test_each_prompt_is_the_shared_mlp_of_the_blocks_own_mlp_of_the_sum() -> None:
    torch.manual_seed(0)
    adapter = VitHeAdapt(width=64, depth=2, patch_px=16)
    embedded, frequencies = torch.randn(1, 4, 4, 64), noise(1).abs()
    patch = frequencies[:, :, 16:32, 48:64]  # of token (1, 3)
    weight, bias = adapter.frequency_embedding.weight, adapter.frequency_embedding.bias
    assert bias is not None
    inner = (weight * patch).sum((1, 2, 3)) + bias + adapter.reduce(embedded[0, 1, 3])
    for prompt, mlp in zip(adapter(embedded, frequencies), adapter.individual, strict=True):
        torch.testing.assert_close(prompt[0, 1, 3], adapter.shared(mlp(inner)))


def test_it_starts_small_but_not_at_zero_on_a_transformer() -> None:
    torch.manual_seed(0)
    adapter = VitHeAdapt(width=768, depth=2, patch_px=16)
    for prompt in adapter(torch.randn(1, 4, 4, 768), noise(1).abs()):
        assert 0.001 < prompt.std() < 0.5


def test_stages_of_a_cnn_get_prompts_of_their_own_size_from_stride_4_on() -> None:
    encoder = adapted_cnn()
    assert encoder.adapter is not None
    cnn = EfficientNetLite0()
    prompts = encoder.adapter(cnn.embed_patches(noise(2)), noise(2).abs())
    assert [None if prompt is None else tuple(prompt.shape) for prompt in prompts] == [
        None,
        None,
        (2, 24, 16, 16),
        (2, 40, 8, 8),
        (2, 80, 4, 4),
        (2, 112, 4, 4),
        (2, 192, 2, 2),
    ]


def test_prompts_of_a_cnn_are_pooled_and_take_the_first_of_the_shared_outputs() -> None:
    torch.manual_seed(0)
    adapter = CnnHeAdapt(8, [(8, 2), (5, 4), (6, 16)])
    nn.init.normal_(adapter.shared.weight)
    embedded, frequencies = torch.randn(1, 8, 32, 32), noise(1).abs()
    stem = F.avg_pool2d(embedded, 2)  # to the patches' stride
    inner = adapter.reduce(stem) + adapter.frequency_embedding(frequencies)
    none, at_4, at_16 = adapter(embedded, frequencies)
    first, second = adapter.individual
    assert none is None
    torch.testing.assert_close(at_4, adapter.shared(first(inner))[:, :5])
    pooled = F.avg_pool2d(inner, 4)
    torch.testing.assert_close(at_16, adapter.shared(second(pooled))[:, :6])


def test_a_cnn_starts_as_what_it_is() -> None:
    cnn = EfficientNetLite0().eval()
    adapter = CnnHeAdapt(cnn.embedded_channels, cnn.stage_inputs)
    found = AdaptedEncoder(cnn, adapter)(noise(1), noise(1).abs())
    assert all(torch.equal(a, b) for a, b in zip(found, cnn(noise(1)), strict=True))


def test_with_its_shared_mlp_at_zero_the_encoder_is_the_plain_one_bit_for_bit(
    encoder: AdaptedEncoder,
) -> None:
    images, frequencies = noise(2), noise(2, seed=3).abs()
    plain: ImageEncoder = encoder.image_encoder  # type: ignore[assignment]  # it is one
    assert encoder.adapter is not None
    shared = encoder.adapter.get_submodule("shared")
    before = {name: tensor.clone() for name, tensor in shared.state_dict().items()}
    with torch.inference_mode():
        expected = plain(images)
        assert difference(encoder(images, frequencies), expected) > 1e-4
        for parameter in shared.parameters():
            parameter.zero_()
        found = encoder(images, frequencies)
        shared.load_state_dict(before)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_high_frequencies_matter(encoder: AdaptedEncoder) -> None:
    with torch.inference_mode():
        one = encoder(noise(1), noise(1, seed=3).abs())
        other = encoder(noise(1), noise(1, seed=4).abs())
    assert difference(one, other) > 1e-4


def test_the_adapter_learns_and_the_encoder_does_not(encoder: AdaptedEncoder) -> None:
    encoder.zero_grad()
    maps = encoder(noise(1), noise(1, seed=3).abs())
    torch.autograd.backward(torch.stack([map_.square().mean() for map_ in maps]).sum())
    assert encoder.adapter is not None
    assert all(parameter.grad is None for parameter in encoder.image_encoder.parameters())
    for name, parameter in encoder.adapter.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_a_batch_of_two_equals_two_batches_of_one(encoder: AdaptedEncoder) -> None:
    images, frequencies = noise(2), noise(2, seed=3).abs()
    with torch.inference_mode():
        together = encoder(images, frequencies)
        first = encoder(images[:1], frequencies[:1])
        second = encoder(images[1:], frequencies[1:])
    apart = tuple(torch.cat(pair) for pair in zip(first, second, strict=True))
    assert difference(together, apart) < 1e-4


def test_weights_as_a_vector_stand_in_the_order_of_the_layers() -> None:
    torch.manual_seed(0)
    adapter = VitHeAdapt(width=64, depth=2, patch_px=16)  # 2 inner channels
    frequency, reduce = adapter.frequency_embedding, adapter.reduce
    vector = flat_weights(adapter)
    assert vector.shape == (parameter_count(adapter),)
    assert vector[:1536].equal(frequency.weight.flatten())
    assert vector[1538:1666].equal(reduce.weight.flatten())
    assert vector[1668:1672].equal(adapter.individual[0].get_parameter("0.weight").flatten())
    assert vector[-64:].equal(adapter.shared.bias)


def test_the_vector_is_a_copy() -> None:
    adapter = VitHeAdapt(width=64, depth=2, patch_px=16)
    before = adapter.reduce.weight.clone()
    flat_weights(adapter).zero_()
    assert adapter.reduce.weight.equal(before)


def lively(adapter: nn.Module, seed: int) -> nn.Module:
    """Return ``adapter`` with weights and biases that all matter."""
    torch.manual_seed(seed)
    for parameter in adapter.parameters():
        nn.init.normal_(parameter, std=0.2)
    return adapter


@pytest.mark.parametrize("make", [adapted_vit, adapted_cnn], ids=["vit", "cnn"])
def test_with_weights_of_each_pictures_own_each_gets_the_prompts_of_its_adapter(
    make: Callable[[], AdaptedEncoder],
) -> None:
    one, other = (lively(make().adapter or nn.Module(), seed) for seed in (1, 2))
    assert isinstance(one, VitHeAdapt | CnnHeAdapt)
    plain: ImageEncoder = make().image_encoder  # type: ignore[assignment]  # it is one
    embedded, frequencies = plain.embed_patches(noise(3)), noise(3, seed=3).abs()
    weights = torch.stack([flat_weights(adapter) for adapter in (one, other, one)])
    with torch.inference_mode():
        found = one.prompts(embedded, frequencies, weights)
        expected, others = one(embedded, frequencies), other(embedded, frequencies)
    assert [prompt is None for prompt in found] == [prompt is None for prompt in expected]
    for mixed, first, second in zip(found, expected, others, strict=True):
        if mixed is None:
            continue
        assert (first - second).abs().max() > 0.1  # or nothing is shown
        torch.testing.assert_close(mixed[::2], first[::2], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mixed[1], second[1], rtol=1e-4, atol=1e-5)
