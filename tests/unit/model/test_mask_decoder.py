from __future__ import annotations

import pytest
import torch

from lsm_monitor.model import sam_source
from lsm_monitor.model.mask_decoder import MaskDecoder

Inputs = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    return MaskDecoder().eval()


def _inputs(tokens: int = 3, batch: int = 2, size_hw: tuple[int, int] = (6, 8)) -> Inputs:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(2 * batch + 1, 256, *size_hw, generator=generator)
    return {
        "embeddings": maps[:batch],
        "dense": maps[batch:-1],
        "positions": maps[-1:],
        "sparse": torch.randn(batch, tokens, 256, generator=generator),
    }


def _picture(inputs: Inputs, index: int) -> Inputs:
    return {
        name: tensor if name == "positions" else tensor[index : index + 1]
        for name, tensor in inputs.items()
    }


def test_it_has_the_parameters_of_the_official_checkpoints(decoder: MaskDecoder) -> None:
    assert sum(parameter.numel() for parameter in decoder.parameters()) == 4_058_340


@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_each_picture_gets_sams_first_mask(decoder: MaskDecoder, tokens: int) -> None:
    sams = sam_source.MaskDecoder(
        transformer_dim=256,
        transformer=sam_source.TwoWayTransformer(
            depth=2, embedding_dim=256, num_heads=8, mlp_dim=2048
        ),
    ).eval()
    sams.load_state_dict(decoder.state_dict())
    inputs = _inputs(tokens)

    logits, iou = decoder(**inputs)

    assert logits.shape == (2, 1, 24, 32)
    assert iou.shape == (2, 1)
    for index in range(2):
        one = _picture(inputs, index)
        expected_logits, expected_iou = sams(
            one["embeddings"], one["positions"], one["sparse"], one["dense"], False  # noqa: FBT003
        )  # fmt: skip
        torch.testing.assert_close(logits[index : index + 1], expected_logits)
        torch.testing.assert_close(iou[index : index + 1], expected_iou)


@pytest.mark.parametrize("tokens", [0, 4])
def test_a_batch_of_two_is_two_batches_of_one(decoder: MaskDecoder, tokens: int) -> None:
    inputs = _inputs(tokens)
    alone = [decoder(**_picture(inputs, index)) for index in range(2)]

    logits, iou = decoder(**inputs)

    torch.testing.assert_close(logits, torch.cat([one[0] for one in alone]))
    torch.testing.assert_close(iou, torch.cat([one[1] for one in alone]))


def test_a_pictures_prompts_do_not_reach_its_neighbour(decoder: MaskDecoder) -> None:
    inputs = _inputs()
    others = {**inputs, "sparse": inputs["sparse"].clone(), "dense": inputs["dense"].clone()}
    others["sparse"][1] += 1.0
    others["dense"][1] += 1.0

    logits, _ = decoder(**inputs)
    with_others, _ = decoder(**others)

    torch.testing.assert_close(with_others[0], logits[0])
    assert (with_others[1] - logits[1]).abs().max() > 1e-3


def _fine_maps(batch: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [
        torch.randn(batch, 24, 24, 32, generator=generator),
        torch.randn(batch, 40, 12, 16, generator=generator),
    ]


def test_with_high_resolution_maps_it_starts_as_sam(decoder: MaskDecoder) -> None:
    fine = MaskDecoder((24, 40)).eval()
    missing, unexpected = fine.load_state_dict(decoder.state_dict(), strict=False)
    assert unexpected == []
    assert all(name.startswith("high_res_projections.") for name in missing)

    logits, _ = fine(**_inputs(), high_resolution=_fine_maps())

    assert torch.equal(logits, decoder(**_inputs())[0])


def test_high_resolution_maps_are_learned_and_then_matter() -> None:
    fine = MaskDecoder((24, 40))
    before, _ = fine(**_inputs(), high_resolution=_fine_maps())
    before.square().mean().backward()
    for projection in fine.high_res_projections:
        assert isinstance(projection, torch.nn.Conv2d)
        gradient = projection.weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0
        torch.nn.init.normal_(projection.weight)

    after, _ = fine(**_inputs(), high_resolution=_fine_maps())

    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("channels", "maps", "message"),
    [
        (None, 2, "0 high-resolution maps are needed, got 2"),
        ((24, 40), 0, "2 high-resolution maps are needed, got 0"),
    ],
)
def test_maps_that_do_not_fit_the_decoder_are_refused(
    channels: tuple[int, int] | None, maps: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MaskDecoder(channels)(**_inputs(), high_resolution=_fine_maps()[:maps])


def test_only_what_the_other_three_masks_need_learns_nothing() -> None:
    decoder = MaskDecoder()

    logits, iou = decoder(**_inputs())
    (logits.mean() + iou.mean()).backward()

    idle = {name for name, parameter in decoder.named_parameters() if parameter.grad is None}
    assert idle
    assert {name.split(".")[0] for name in idle} == {"output_hypernetworks_mlps"}
    assert {name.split(".")[1] for name in idle} == {"1", "2", "3"}
