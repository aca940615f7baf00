from __future__ import annotations

from itertools import combinations

import pytest
import torch

from lsm_monitor.model.prompt_combiner import PROMPTS, PromptCombiner
from tests.unit.model.models import parameter_count

CHANNELS, BATCH = 256, 2
LENGTHS = {"spatial": 4, "semantic": 2, "style": 1}

every_choice = pytest.mark.parametrize(
    "prompts",
    [choice for count in (1, 2, 3) for choice in combinations(PROMPTS, count)],
    ids="-".join,
)


def tokens_of(prompts: tuple[str, ...]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(BATCH, LENGTHS[name], CHANNELS, generator=generator)
        for name in prompts
    }


def test_with_all_prompts_it_has_1024_parameters() -> None:
    assert parameter_count(PromptCombiner(PROMPTS, CHANNELS)) == 1_024


@every_choice
def test_at_first_every_prompt_passes_as_it_is_and_one_token_is_added(
    prompts: tuple[str, ...],
) -> None:
    combiner, tokens = PromptCombiner(prompts, CHANNELS), tokens_of(prompts)
    combined, dense = combiner(tokens, None, BATCH)
    assert dense is None
    assert torch.equal(combined[:, :-1], torch.cat(list(tokens.values()), dim=1))
    assert torch.equal(combined[:, -1], combiner.adaptive.expand(BATCH, -1))


@every_choice
def test_every_weight_acts_on_its_own_prompt(prompts: tuple[str, ...]) -> None:
    combiner, tokens = PromptCombiner(prompts, CHANNELS), tokens_of(prompts)
    for number, name in enumerate(prompts, start=2):
        torch.nn.init.constant_(combiner.weights[name], number)
    combined, _ = combiner(tokens, None, BATCH)
    expected = [number * tokens[name] for number, name in enumerate(prompts, start=2)]
    assert torch.equal(combined[:, :-1], torch.cat(expected, dim=1))


def test_each_channel_has_a_weight_of_its_own() -> None:
    combiner = PromptCombiner(("style",), CHANNELS)
    ramp = torch.arange(float(CHANNELS))
    combiner.weights["style"].data.copy_(ramp)
    combined, _ = combiner({"style": torch.ones(BATCH, 1, CHANNELS)}, None, BATCH)
    assert torch.equal(combined[:, 0], ramp.expand(BATCH, -1))


def test_a_mask_is_weighted_by_channel_and_not_made_a_token() -> None:
    combiner = PromptCombiner(PROMPTS, CHANNELS)
    ramp = torch.arange(float(CHANNELS))
    combiner.weights["spatial"].data.copy_(ramp)
    mask = torch.randn(BATCH, CHANNELS, 3, 5)
    combined, dense = combiner(tokens_of(("semantic", "style")), mask, BATCH)
    assert combined.shape == (BATCH, 2 + 1 + 1, CHANNELS)
    assert dense is not None
    assert torch.equal(dense, mask * ramp.view(1, -1, 1, 1))


def test_a_mask_alone_still_gets_the_adaptive_token() -> None:
    combiner = PromptCombiner(("spatial",), CHANNELS)
    combined, _ = combiner({}, torch.ones(BATCH, CHANNELS, 2, 2), BATCH)
    assert combined.shape == (BATCH, 1, CHANNELS)


def test_every_parameter_gets_a_gradient() -> None:
    combiner = PromptCombiner(PROMPTS, CHANNELS)
    combined, _ = combiner(tokens_of(PROMPTS), None, BATCH)
    torch.autograd.backward(combined.square().sum())
    assert all(p.grad is not None and p.grad.all() for p in combiner.parameters())
