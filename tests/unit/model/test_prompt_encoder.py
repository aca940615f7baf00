from __future__ import annotations

import pytest
import torch

from lsm_monitor.model import sam_source
from lsm_monitor.model.prompt_encoder import PromptEncoder

SIDE_PX = 1024


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    torch.manual_seed(0)
    return PromptEncoder().eval()


@pytest.fixture(scope="module")
def sams(encoder: PromptEncoder) -> sam_source.PromptEncoder:
    """The package's own, with the same weights; loading is strict."""
    own = sam_source.PromptEncoder(256, (64, 64), (SIDE_PX, SIDE_PX), 16).eval()
    own.load_state_dict(encoder.state_dict())
    return own


def _shares(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels + 0.5) / SIDE_PX


def test_it_has_the_parameters_of_the_official_checkpoints(encoder: PromptEncoder) -> None:
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 6_220


def test_points_become_sams_tokens(
    encoder: PromptEncoder, sams: sam_source.PromptEncoder
) -> None:
    pixels = torch.tensor([[[10.0, 900.0], [512.0, 3.0]], [[0.0, 0.0], [1023.0, 700.0]]])
    labels = torch.tensor([[1, 0], [0, 1]])
    expected, _ = sams(points=(pixels, labels), boxes=None, masks=None)

    # SAM appends a padding point of its own where there is no box.
    coordinates = torch.cat([_shares(pixels), torch.rand(2, 1, 2)], dim=1)
    labels = torch.cat([labels, torch.full((2, 1), -1)], dim=1)

    torch.testing.assert_close(encoder.embed_sparse(coordinates, labels), expected)


def test_boxes_become_sams_tokens(
    encoder: PromptEncoder, sams: sam_source.PromptEncoder
) -> None:
    boxes = torch.tensor([[10.0, 20.0, 300.0, 400.0], [0.0, 0.0, 1023.0, 1023.0]])
    expected, _ = sams(points=None, boxes=boxes, masks=None)

    labels = torch.tensor([[2, 3], [2, 3]])

    torch.testing.assert_close(
        encoder.embed_sparse(_shares(boxes.view(2, 2, 2)), labels), expected
    )


def test_masks_become_sams_dense_embedding(
    encoder: PromptEncoder, sams: sam_source.PromptEncoder
) -> None:
    logits = torch.randn(2, 1, 256, 256)
    _, expected = sams(points=None, boxes=None, masks=logits)

    torch.testing.assert_close(encoder.embed_mask(logits, (64, 64)), expected)


def test_without_a_mask_it_is_sams_dense_embedding(
    encoder: PromptEncoder, sams: sam_source.PromptEncoder
) -> None:
    _, expected = sams(points=None, boxes=None, masks=None)

    dense = encoder.no_mask(3, (64, 64))

    assert torch.equal(dense, expected.expand(3, -1, -1, -1))


def test_dense_positions_are_sams(
    encoder: PromptEncoder, sams: sam_source.PromptEncoder
) -> None:
    expected = sams.pe_layer((64, 64))[None]

    torch.testing.assert_close(encoder.dense_positions((64, 64)), expected)


def test_a_cells_position_is_that_of_a_point_in_its_middle(encoder: PromptEncoder) -> None:
    row, column, height, width = 2, 5, 4, 8
    middle = torch.tensor([[[(column + 0.5) / width, (row + 0.5) / height]]])

    point = encoder.embed_sparse(middle, torch.tensor([[1]]))[0, 0]

    expected = point - encoder.point_embeddings[1].weight[0]
    found = encoder.dense_positions((height, width))[0, :, row, column]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size_hw", [(24, 24), (32, 32), (3, 5)])
def test_one_encoder_serves_embeddings_of_any_size(
    encoder: PromptEncoder, size_hw: tuple[int, int]
) -> None:
    assert encoder.embed_mask(torch.randn(2, 1, 50, 70), size_hw).shape == (2, 256, *size_hw)
    assert encoder.no_mask(2, size_hw).shape == (2, 256, *size_hw)
    assert encoder.dense_positions(size_hw).shape == (1, 256, *size_hw)


def test_padding_is_the_same_wherever_it_is(encoder: PromptEncoder) -> None:
    tokens = encoder.embed_sparse(torch.rand(2, 3, 2), torch.full((2, 3), -1))

    assert torch.equal(tokens, encoder.not_a_point_embed.weight.expand(2, 3, -1))


def test_no_points_are_no_tokens(encoder: PromptEncoder) -> None:
    tokens = encoder.embed_sparse(torch.empty(2, 0, 2), torch.empty(2, 0, dtype=torch.int64))

    assert tokens.shape == (2, 0, 256)


@pytest.mark.parametrize("label", [-2, 4])
def test_unknown_labels_are_refused(encoder: PromptEncoder, label: int) -> None:
    with pytest.raises(IndexError):
        encoder.embed_sparse(torch.rand(1, 1, 2), torch.tensor([[label]]))


def test_positions_are_as_exact_under_autocast(encoder: PromptEncoder) -> None:
    exact = encoder.dense_positions((64, 64))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.dense_positions((64, 64)), exact)


def test_every_parameter_learns_from_points_and_a_mask(encoder: PromptEncoder) -> None:
    labels = torch.tensor([[-1, 0, 1, 2, 3]])

    sparse = encoder.embed_sparse(torch.rand(1, 5, 2), labels)
    dense = encoder.embed_mask(torch.randn(1, 1, 16, 16), (4, 4)) + encoder.no_mask(1, (4, 4))
    torch.autograd.backward(sparse.square().sum() + dense.square().sum())

    assert all(parameter.grad is not None for parameter in encoder.parameters())
    encoder.zero_grad()
