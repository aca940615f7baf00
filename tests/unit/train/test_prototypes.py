"""The prototypes: clusters found online, moved by momentum, never by gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.semantic_prompt import SemanticPrompt, SemanticPrompter
from lsm_train import prototypes as module
from lsm_train.config import LossesSection
from lsm_train.data import DRY, IGNORED, WATER
from lsm_train.prototypes import assign, prototype_loss, sinkhorn, update_prototypes

CHANNELS, KINDS, SIDE = 8, 3, 4
WEIGHTS = LossesSection(prototype_contrast=1.0, prototype_distance=1.0)

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 64)


def random_similarity(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def prompter_of(kinds: int = KINDS, seed: int = 0) -> SemanticPrompter:
    torch.manual_seed(seed)
    return SemanticPrompter(CHANNELS, kinds, foreground_only=False)


def labels_of(value: int, batch: int = 2) -> torch.Tensor:
    return torch.full((batch, 4 * SIDE, 4 * SIDE), value, dtype=torch.uint8)


def prompt_near(
    prompter: SemanticPrompter, centre: torch.Tensor, batch: int = 2
) -> SemanticPrompt:
    """What the prompter would say about pixels that are all projected to ``centre``."""
    projected = F.normalize(centre, dim=0)[None, :, None, None].expand(batch, -1, SIDE, SIDE)
    similarity = torch.einsum("bdhw,ckd->bckhw", projected, prompter.prototypes)
    return SemanticPrompt(torch.zeros(batch, 2, CHANNELS), projected, similarity)


def prompt_of(prompter: SemanticPrompter, seed: int, batch: int = 2) -> SemanticPrompt:
    embedding = torch.randn(
        batch, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)
    )
    prompt: SemanticPrompt = prompter(embedding)
    return SemanticPrompt(*(tensor.detach() for tensor in prompt))


@settings(deadline=None)  # torch's first calls are slow
@given(seeds, counts, st.integers(1, 10))
def test_every_pixel_is_assigned_exactly_once(seed: int, pixels: int, kinds: int) -> None:
    plan = sinkhorn(random_similarity(seed, pixels, kinds))
    assert (plan >= 0.0).all()
    torch.testing.assert_close(plan.sum(1), torch.ones(pixels))


@settings(deadline=None)
@given(seeds, st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=4))
def test_a_prototype_liked_by_all_pixels_wins_no_more_of_them(
    seed: int, popularity: list[float]
) -> None:
    similarity = 0.5 * random_similarity(seed, 64, 4)
    favoured = sinkhorn(similarity + torch.tensor(popularity))
    torch.testing.assert_close(favoured, sinkhorn(similarity), atol=1e-3, rtol=1e-3)


@settings(deadline=None)
@given(seeds)
def test_prototypes_are_used_alike_even_where_one_is_the_nearest_of_all_pixels(
    seed: int,
) -> None:
    similarity = 0.1 * random_similarity(seed, 64, 4)
    similarity[:, 0] += 0.5
    assert (similarity.argmax(1) == 0).all()
    share = sinkhorn(similarity).sum(0) / 64
    assert ((share > 0.15) & (share < 0.35)).all()


@settings(deadline=None)
@given(seeds, counts)
def test_a_pixel_is_assigned_within_its_class_and_apart_from_the_other(
    seed: int, pixels: int
) -> None:
    similarity = random_similarity(seed, pixels, 2, KINDS)
    classes = (torch.arange(pixels) % 3 == 0).long()
    assigned = assign(similarity, classes)
    assert ((assigned >= 0) & (assigned < KINDS)).all()
    other = similarity.clone()
    other[torch.arange(pixels), 1 - classes] = 1.0
    assert torch.equal(assign(other, classes), assigned)


@settings(deadline=None)
@given(seeds)
def test_moving_keeps_unit_length(seed: int) -> None:
    prompter = prompter_of()
    labels = labels_of(DRY)
    labels[:, :, :8] = WATER
    update_prototypes(prompter, prompt_of(prompter, seed), labels)
    length = prompter.prototypes.norm(dim=-1)
    torch.testing.assert_close(length, torch.ones(2, KINDS))


def test_a_pixel_moves_the_prototype_that_the_loss_pulls_it_to() -> None:
    prompter = prompter_of(kinds=2)
    before = prompter.prototypes.clone()
    # One dry pixel nearer to prototype 0; those taken for water are nearer to it still, so
    # that among all dry pixels it belongs to prototype 1.
    first, second = before[DRY]
    right = F.normalize(1.02 * first + second, dim=0)
    wrong = F.normalize(first + 3.0 * before[WATER, 0], dim=0)
    projected = torch.stack([right, *[wrong] * 15]).T.reshape(1, CHANNELS, SIDE, SIDE)
    similarity = torch.einsum("bdhw,ckd->bckhw", projected, before)
    assert (similarity.amax(2).argmax(1).flatten() == WATER).tolist() == [False] + [True] * 15
    pixels = similarity.permute(0, 3, 4, 1, 2).reshape(-1, 2, 2)
    assigned = int(assign(pixels, torch.zeros(len(pixels), dtype=torch.long))[0])
    assert assigned == 1
    assert int(assign(pixels[:1], torch.zeros(1, dtype=torch.long))) == 0

    prompt = SemanticPrompt(torch.zeros(1, 2, CHANNELS), projected, similarity)
    update_prototypes(prompter, prompt, labels_of(DRY, batch=1))
    moved = (prompter.prototypes != before).any(dim=-1)
    assert moved.nonzero().tolist() == [[DRY, assigned]]


@pytest.mark.parametrize("label", [DRY, WATER])
def test_prototypes_move_towards_the_centre_of_their_cluster_and_no_others_move(
    label: int,
) -> None:
    prompter = prompter_of()
    before = prompter.prototypes.clone()
    centre = F.normalize(before[label, 1] + 0.3 * before[label, 2], dim=0)
    update_prototypes(prompter, prompt_near(prompter, centre), labels_of(label))
    # Equal pixels are all given to one prototype.
    moved = (prompter.prototypes != before).any(dim=-1)
    assert moved.sum() == 1
    assert moved[label].any()
    kind = int(moved[label].nonzero())
    assert prompter.prototypes[label, kind] @ centre > before[label, kind] @ centre
    expected = F.normalize(0.999 * before[label, kind] + 0.001 * centre, dim=0)
    torch.testing.assert_close(prompter.prototypes[label, kind], expected)


@pytest.mark.parametrize(
    "label",
    [
        pytest.param(IGNORED, id="nothing-valid"),
        pytest.param(WATER, id="every-pixel-in-the-wrong-class"),
    ],
)
def test_a_class_without_pixels_keeps_its_prototypes(label: int) -> None:
    prompter = prompter_of()
    before = prompter.prototypes.clone()
    update_prototypes(prompter, prompt_near(prompter, before[DRY, 0]), labels_of(label))
    assert torch.equal(prompter.prototypes, before)


def test_two_processes_move_the_prototypes_as_one_with_both_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One prototype per class: with more, each process balances its own pixels.
    one, two, both = (prompter_of(kinds=1) for _ in range(3))
    prompts = [prompt_of(one, seed) for seed in (1, 2)]
    labels = labels_of(DRY)
    labels[:, :, :8] = WATER
    other_sums: list[torch.Tensor] = []

    def processes(act: Callable[[torch.Tensor], object]) -> None:
        monkeypatch.setattr(module, "sum_over_processes", act)

    processes(lambda tensor: other_sums.append(tensor.clone()))
    update_prototypes(two, prompts[1], labels)
    processes(lambda tensor: tensor.add_(other_sums.pop(0)))
    update_prototypes(one, prompts[0], labels)
    processes(lambda _: None)
    joined = SemanticPrompt(*(torch.cat(pair) for pair in zip(*prompts, strict=True)))
    update_prototypes(both, joined, torch.cat([labels, labels]))

    torch.testing.assert_close(one.prototypes, both.prototypes)
    assert not torch.equal(two.prototypes, both.prototypes)


def test_the_loss_teaches_the_projector_and_nothing_through_the_prototypes() -> None:
    prompter = prompter_of()
    labels = labels_of(DRY)
    labels[:, :, :8] = WATER
    embedding = torch.randn(2, CHANNELS, SIDE, SIDE)
    loss = prototype_loss(prompter(embedding), labels, WEIGHTS)
    gradient = torch.autograd.grad(loss, prompter.projector.weight)[0]
    assert gradient.any()
    assert not prompter.prototypes.requires_grad


@pytest.mark.parametrize(
    "weights",
    [
        LossesSection(prototype_contrast=1.0, prototype_distance=0.0),
        LossesSection(prototype_contrast=0.0, prototype_distance=1.0),
    ],
    ids=["contrast", "distance"],
)
@pytest.mark.parametrize("label", [DRY, WATER])
def test_pixels_on_their_prototypes_cost_less_than_pixels_on_the_other_class(
    label: int, weights: LossesSection
) -> None:
    prompter = prompter_of(kinds=1)
    prompt = prompt_near(prompter, prompter.prototypes[label, 0])
    right = prototype_loss(prompt, labels_of(label), weights)
    wrong = prototype_loss(prompt, labels_of(1 - label), weights)
    assert right < 0.01
    assert wrong > 0.3


def test_ignored_pixels_do_not_count() -> None:
    prompter = prompter_of()
    labels = labels_of(WATER)
    labels[1] = IGNORED
    both, first = prompt_of(prompter, 1), prompt_of(prompter, 1)
    first = SemanticPrompt(*(tensor[:1] for tensor in first))
    assert prototype_loss(both, labels, WEIGHTS) == prototype_loss(first, labels[:1], WEIGHTS)


def test_a_batch_of_nothing_but_ignored_pixels_costs_nothing_and_can_be_learned_from() -> None:
    prompter = prompter_of()
    embedding = torch.randn(2, CHANNELS, SIDE, SIDE)
    loss = prototype_loss(prompter(embedding), labels_of(IGNORED), WEIGHTS)
    assert loss == 0.0
    assert not torch.autograd.grad(loss, prompter.projector.weight)[0].any()
