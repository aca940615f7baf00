from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lsm_monitor.model.semantic_prompt import CLASSES, SemanticPrompter

CHANNELS, PROTOTYPES = 8, 3
DRY, WATER = 0, 1


def prompter(seed: int = 0, *, foreground_only: bool = False) -> SemanticPrompter:
    torch.manual_seed(seed)
    return SemanticPrompter(CHANNELS, PROTOTYPES, foreground_only=foreground_only)


def embedding(seed: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(seed))


def one_sided_prompter() -> SemanticPrompter:
    """Return one for which positive first channels are dry, and negative ones are water."""
    made = prompter()
    nn.init.eye_(made.projector.weight[..., 0, 0])
    nn.init.zeros_(made.projector.get_parameter("bias"))
    made.prototypes.zero_()
    made.prototypes[DRY, :, 0] = 1.0
    made.prototypes[WATER, :, 0] = -1.0
    return made


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_tokens_are_the_mean_embeddings_of_the_pixels_nearest_to_each_class(seed: int) -> None:
    made, maps = prompter(seed), embedding(seed)
    tokens, projected, similarity = made(maps)
    assert tokens.shape == (2, CLASSES, CHANNELS)
    assert similarity.shape == (2, CLASSES, PROTOTYPES, 4, 5)
    for picture in range(2):
        members: dict[int, list[torch.Tensor]] = {DRY: [], WATER: []}
        for row in range(4):
            for column in range(5):
                pixel = made.projector.weight[..., 0, 0] @ maps[picture, :, row, column]
                pixel = pixel + made.projector.get_parameter("bias")
                pixel = pixel / pixel.norm()
                torch.testing.assert_close(projected[picture, :, row, column], pixel)
                cosines = made.prototypes @ pixel
                torch.testing.assert_close(similarity[picture, ..., row, column], cosines)
                nearest = int(cosines.argmax()) // PROTOTYPES
                members[nearest].append(maps[picture, :, row, column])
        for class_, pixels in members.items():
            expected = torch.stack(pixels).mean(0) if pixels else torch.zeros(CHANNELS)
            torch.testing.assert_close(tokens[picture, class_], expected)


def test_a_class_without_pixels_gives_zeros() -> None:
    maps = embedding(0).abs()
    tokens = one_sided_prompter()(maps).tokens
    assert torch.equal(tokens[:, WATER], torch.zeros(2, CHANNELS))
    torch.testing.assert_close(tokens[:, DRY], maps.mean((2, 3)))


def test_one_pictures_classes_do_not_reach_its_neighbour() -> None:
    maps = embedding(0).abs()
    maps[1] *= -1.0
    tokens = one_sided_prompter()(maps).tokens
    assert (tokens[0, WATER] == 0.0).all()
    assert (tokens[1, DRY] == 0.0).all()
    torch.testing.assert_close(tokens[1, WATER], maps[1].mean((1, 2)))


def test_the_foreground_alone_is_the_token_of_water() -> None:
    both = prompter()(embedding(0)).tokens
    alone = prompter(foreground_only=True)(embedding(0)).tokens
    assert torch.equal(alone, both[:, WATER:])


def test_prototypes_are_unit_vectors_that_no_gradient_moves() -> None:
    made = prompter()
    norms = made.prototypes.norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(CLASSES, PROTOTYPES))
    assert "prototypes" in made.state_dict()
    assert "prototypes" not in dict(made.named_parameters())


def test_only_the_similarity_teaches_the_projector() -> None:
    made = prompter()
    prompt = made(embedding(0).requires_grad_())
    torch.autograd.backward(prompt.tokens.square().sum())
    assert made.projector.weight.grad is None
    torch.autograd.backward(made(embedding(0)).similarity.square().sum())
    assert made.projector.weight.grad is not None
    assert made.projector.weight.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_as_exact_under_autocast(dtype: torch.dtype) -> None:
    made, maps = prompter(), embedding(0).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = made(maps).tokens
    assert torch.equal(tokens, made(maps.float()).tokens)
