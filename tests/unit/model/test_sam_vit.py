from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
import torch

from lsm_monitor.model.sam_source import ImageEncoderViT
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit, VitSize

# Window attention, then global attention; 3 does not divide the grid, so windows are padded.
TINY = VitSize(width=32, depth=2, heads=2, global_blocks=(1,), window=3)
WIDER = VitSize(width=48, depth=3, heads=3, global_blocks=(0, 2), window=4)


def _randomised(size: VitSize, input_size_px: int) -> SamVit:
    torch.manual_seed(0)
    vit = SamVit(size, input_size_px=input_size_px).eval()
    for name, parameter in vit.named_parameters():
        if "pos" in name:  # zero at the start
            torch.nn.init.normal_(parameter, std=0.5)
    return vit


@pytest.fixture(scope="module")
def vit() -> SamVit:
    return _randomised(TINY, 128)


def _images(side: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


def _prompts(like: torch.Tensor, count: int) -> Sequence[torch.Tensor]:
    return torch.randn(count, *like.shape, generator=torch.Generator().manual_seed(2)).unbind()


@pytest.mark.parametrize("size", [TINY, WIDER], ids=["tiny", "wider"])
@pytest.mark.parametrize("side", [64, 128])
def test_without_prompts_it_computes_what_sams_own_forward_computes(
    size: VitSize, side: int
) -> None:
    vit = _randomised(size, side)

    (embedding,) = vit(_images(side))

    assert embedding.shape == (2, 256, side // 16, side // 16)
    torch.testing.assert_close(
        embedding, ImageEncoderViT.forward(vit, _images(side)), atol=1e-4, rtol=0
    )


def test_official_sizes_have_the_parameters_of_the_official_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (
        torch.nn.Linear,
        torch.nn.Conv2d,
    ):  # gigabytes that are not filled cost nothing
        monkeypatch.setattr(kind, "reset_parameters", lambda _module: None)
    counts = {
        name: sum(parameter.numel() for parameter in SamVit(size).parameters())
        for name, size in VIT_SIZES.items()
    }

    assert counts == {"b": 89_670_912, "l": 308_278_272, "h": 637_026_048}


def test_zero_prompts_change_nothing(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128))

    (with_zeros,) = vit.run_blocks(embedded, [torch.zeros_like(embedded)] * 2)

    assert torch.equal(with_zeros, vit(_images(128))[0])


def test_each_prompt_is_added_before_its_block(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128))
    first, second = _prompts(embedded, 2)

    tokens = vit.blocks[0](embedded + vit.pos_embed + first)
    tokens = vit.blocks[1](tokens + second)
    expected = vit.neck(tokens.permute(0, 3, 1, 2))

    torch.testing.assert_close(
        vit.run_blocks(embedded, [first, second])[0], expected, atol=1e-4, rtol=0
    )


def test_a_batch_of_two_is_two_batches_of_one(vit: SamVit) -> None:
    images = _images(128)
    alone = torch.cat([vit(image[None])[0] for image in images])

    torch.testing.assert_close(vit(images)[0], alone, atol=1e-5, rtol=0)


def test_checkpointed_blocks_give_the_same_gradients_to_the_prompts(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128)).detach()
    gradients = []
    for checkpoint_blocks in (False, True):
        prompts = [prompt.clone().requires_grad_() for prompt in _prompts(embedded, 2)]
        vit.checkpoint_blocks = checkpoint_blocks
        torch.autograd.backward(vit.run_blocks(embedded, prompts)[0].square().mean())
        gradients.append([prompt.grad for prompt in prompts])
    vit.checkpoint_blocks = False

    for kept, recomputed in zip(*gradients, strict=True):
        assert kept is not None
        assert kept.abs().max() > 0
        torch.testing.assert_close(kept, recomputed)


def test_checkpointed_blocks_keep_less_for_the_backward_pass(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128)).detach().requires_grad_()
    kept_numbers = []
    for checkpoint_blocks in (False, True):
        kept: list[int] = []

        def pack(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        vit.checkpoint_blocks = checkpoint_blocks
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            vit.run_blocks(embedded)
        kept_numbers.append(sum(kept))
    vit.checkpoint_blocks = False

    assert kept_numbers[1] < kept_numbers[0]


def test_positions_of_the_same_input_size_stay_as_they_are(vit: SamVit) -> None:
    fitted = vit.fit_positions(vit.state_dict())

    assert all(torch.equal(fitted[name], tensor) for name, tensor in vit.state_dict().items())


def test_positions_of_another_input_size_are_interpolated(vit: SamVit) -> None:
    state = vit.state_dict()
    column = torch.arange(8.0).view(1, 1, 8, 1)
    state["pos_embed"] = column.expand_as(state["pos_embed"])
    smaller = SamVit(TINY, input_size_px=64).eval()

    smaller.load_state_dict(smaller.fit_positions(state))

    # In the middle the picture is a ramp still: each new patch lies between two old ones.
    assert smaller.pos_embed[0, 0, 1:3, 0].tolist() == pytest.approx([2.5, 4.5], abs=0.1)
    assert torch.equal(smaller.blocks[0].attn.rel_pos_h, state["blocks.0.attn.rel_pos_h"])
    # SAM interpolates the relative positions of global blocks by itself, at each run.
    original = ImageEncoderViT(
        img_size=64, embed_dim=32, depth=2, num_heads=2, use_rel_pos=True, window_size=3,
        global_attn_indexes=(1,),
    )  # fmt: skip
    original.load_state_dict(smaller.state_dict())
    original.blocks[1].attn.rel_pos_h = vit.blocks[1].attn.rel_pos_h
    original.blocks[1].attn.rel_pos_w = vit.blocks[1].attn.rel_pos_w
    expected = original(_images(64))
    torch.testing.assert_close(smaller(_images(64))[0], expected, atol=1e-3, rtol=0)


def test_pictures_of_another_size_are_refused(vit: SamVit) -> None:
    with pytest.raises(ValueError, match=r"grid of \(8, 8, 32\) is needed, got \(4, 4, 32\)"):
        vit(_images(64))


def test_a_block_without_a_prompt_is_left_alone(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128))
    (prompt,) = _prompts(embedded, 1)

    (with_none,) = vit.run_blocks(embedded, [None, prompt])

    (with_zero,) = vit.run_blocks(embedded, [torch.zeros_like(embedded), prompt])
    assert torch.equal(with_none, with_zero)


def test_one_prompt_for_each_block_is_needed(vit: SamVit) -> None:
    embedded = vit.embed_patches(_images(128))

    with pytest.raises(ValueError, match="2 prompts are needed, one for each block, got 1"):
        vit.run_blocks(embedded, [embedded])


@pytest.mark.parametrize("side", [0, -16, 100])
def test_input_sizes_that_are_not_whole_patches_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match=f"positive multiple of 16, got {side}"):
        SamVit(TINY, input_size_px=side)


def test_the_packages_own_name_is_left_alone() -> None:
    assert "segment_anything" not in sys.modules
