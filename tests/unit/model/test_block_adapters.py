from __future__ import annotations

import pytest
import torch
from torch import nn

from lsm_monitor.model.block_adapters import (
    CnnStageAdapter,
    VitBlockAdapter,
    vit_block_adapters,
)
from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.sam_vit import SamVit
from tests.unit.model.models import NO_PROMPTS, noise, parameter_count, shrink_sam


def on(encoder: str, **changes: object) -> ModelParts:
    changes = {"image_encoder": encoder, "block_adapters": True, **changes}
    return ModelParts.model_validate(NO_PROMPTS.model_dump() | changes)


@pytest.fixture(params=["efficientnet_lite0", "sam_vit_b"])
def adapted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> LsmAdapter:
    """A model with adapters in its blocks, on each kind of image encoder."""
    shrink_sam(monkeypatch)
    torch.manual_seed(0)
    return build_model(on(request.param, encoder_adapter=None)).eval()


def teach(adapters: nn.Module) -> None:
    """Make the adapters matter, as after training."""
    torch.manual_seed(1)
    for parameter in adapters.parameters():
        nn.init.normal_(parameter, std=0.1)


def test_on_vit_b_they_have_the_published_parameters_without_the_dead_third() -> None:
    with torch.device("meta"):
        adapters = vit_block_adapters(width=768, depth=12)
    first = adapters[0]
    assert isinstance(first, VitBlockAdapter)
    assert parameter_count(first.attention) == 768 * 192 * 2 + 192 + 768 == 295_872
    assert parameter_count(adapters) == 12 * 2 * 295_872 == 7_100_928


def test_all_that_the_published_method_trains_on_vit_b_is_11_7_million() -> None:
    """The published code's 15.3 million, without the 3.55 that it never uses."""
    adapter = {"kind": "he", "equalisation": "off", "band": "low"}
    parts = on("sam_vit_b", input_size_px=1024, decoder="classwise", encoder_adapter=adapter)
    with torch.device("meta"):
        model = build_model(parts)
    encoder, head = model.encoder, model.head
    learned = parameter_count(encoder.adapter, encoder.block_adapters, head.mask_decoder)
    assert learned == 63_312 + 7_100_928 + 4_058_340 + 518_496
    assert learned + 12 * 295_872 == 15_291_540


def test_they_start_as_the_frozen_encoder_and_then_matter(adapted: LsmAdapter) -> None:
    images = noise(2)
    adapters = adapted.encoder.block_adapters
    assert adapters is not None
    with torch.inference_mode():
        frozen = adapted.encoder.image_encoder(images)
        for map_, expected in zip(adapted.encoder(images, images), frozen, strict=True):
            torch.testing.assert_close(map_, expected)
    teach(adapters)
    with torch.inference_mode():
        for map_, expected in zip(adapted.encoder(images, images), frozen, strict=True):
            assert (map_ - expected).abs().max() > 1e-3


def test_a_batch_of_two_is_two_batches_of_one(adapted: LsmAdapter) -> None:
    assert adapted.encoder.block_adapters is not None
    teach(adapted.encoder.block_adapters)
    images = noise(2)
    with torch.inference_mode():
        alone = [adapted.encoder(image[None], image[None]) for image in images]
        both = adapted.encoder(images, images)
    for map_, *ones in zip(both, *alone, strict=True):
        torch.testing.assert_close(map_, torch.cat(ones), rtol=1e-4, atol=1e-4)


def test_a_transformers_block_follows_the_published_equations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink_sam(monkeypatch)
    torch.manual_seed(0)
    encoder = build_model(on("sam_vit_b")).encoder.image_encoder.eval()
    assert isinstance(encoder, SamVit)
    adapters = vit_block_adapters(encoder.width, encoder.depth)
    teach(adapters)
    with torch.no_grad():
        embedded = encoder.embed_patches(noise(1))
        tokens = embedded + encoder.pos_embed
        for block, adapter in zip(encoder.blocks, adapters, strict=True):
            assert isinstance(adapter, VitBlockAdapter)
            # The package's block gives x + a + MLP(LN(x + a)); without its MLP, x + a.
            mlp, block.mlp = block.mlp, nn.Identity()
            plain = block(tokens)  # x + a + LN(x + a)
            norm, block.norm2 = block.norm2, ZeroNorm()
            gathered = block(tokens)  # x + a
            block.mlp, block.norm2 = mlp, norm
            torch.testing.assert_close(plain, gathered + norm(gathered))
            attended = gathered - tokens
            down, activation, up = adapter.attention
            tokens = tokens + attended + up(activation(down(attended)))
            normalised = norm(tokens)
            down, activation, up = adapter.beside
            tokens = tokens + mlp(normalised) + 0.5 * up(activation(down(normalised)))
        expected = encoder.neck(tokens.permute(0, 3, 1, 2))
        (found,) = encoder.run_blocks(embedded, (), adapters)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class ZeroNorm(nn.LayerNorm):
    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(tokens)


def test_a_stages_adapter_sees_its_output_and_its_pooled_input() -> None:
    adapter = CnnStageAdapter(8, 12, stride=2)
    teach(adapter)
    before, after = torch.randn(2, 8, 4, 4), torch.randn(2, 12, 2, 2)
    pooled = nn.functional.avg_pool2d(before, 2)
    expected = after + adapter.gathered(after) + 0.5 * adapter.beside(pooled)
    torch.testing.assert_close(adapter(before, after), expected)
