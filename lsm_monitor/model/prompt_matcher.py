"""Prompts between the stages of a frozen encoder (Liu et al. 2022, arXiv 2208.10159, "SPM").

Before stage i stands a Semantic-aware Prompt Matcher. It does, R times with the same weights,

    M <- softmax(Conv(PDC(Conv(F + M))))          what is seen where: the interim semantic map
    F <- F + F * Conv(PDC(Conv(F + M)))           the prompt, of the refined map

where the inner ``+`` joins channels, ``*`` multiplies elements, Conv is 1x1 and PDC is the
pyramid dilation convolution. The first map is constant: how often each class was in the
training set. The last Conv starts at zero: a matched encoder starts as the frozen one, bit for
bit.

A stage is never changed, and is called with nothing but its input. So a compiled stage serves
every matcher (:mod:`lsm_monitor.model.stage_graphs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.parts import MatcherParts

_SUB_FEATURES = 4

Stage = Callable[[torch.Tensor], torch.Tensor]
Match = Callable[[torch.Tensor, torch.Tensor], Sequence[torch.Tensor]]
Interim = Mapping[int, Sequence[torch.Tensor]]


class Walked(NamedTuple):
    """What came of the stages.

    Attributes:
        outputs: (B, C, h, w) float32 of each stage, the embedding's included, matched where a
            matcher follows it.
        interim: Scores of the interim semantic maps, (B, classes, h, w) before the softmax,
            R of each matcher, by the number of the stage that it stands before.
    """

    outputs: Sequence[torch.Tensor]
    interim: Interim


def walk(
    stages: Sequence[Stage],
    matchers: Mapping[int, Match],
    frequencies: torch.Tensor,
    images: torch.Tensor,
) -> Walked:
    """Run the stages with the matchers between them, in PyTorch or on engines.

    Args:
        stages: The embedding, then stage 1 to N.
        matchers: By the number of the stage that they stand before, N + 1 for the head. Called
            with features and the map so far; return both anew, and perhaps scores after them.
        frequencies: (classes,) float32, the first map at every place.
        images: (B, 3, S, S) float32, normalised.
    """
    features, outputs, interim = images, [], {}
    semantic = frequencies.view(1, -1, 1, 1).expand(len(images), -1, 1, 1)
    for number, stage in enumerate(stages, start=1):
        features = stage(features)
        if number in matchers:
            semantic = fit_map(semantic, features)
            features, semantic, *interim[number] = matchers[number](features, semantic)
        outputs.append(features)
    return Walked(outputs, interim)


def fit_map(semantic: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return a semantic map at the features' size, contiguous.

    Args:
        semantic: (B, classes, h, w), or one pixel for all places.
        features: (B, C, h / n, w / n): later stages are coarser by whole factors.
    """
    height, width = features.shape[-2:]
    factor = semantic.shape[-1] // width
    if factor > 1:
        return F.avg_pool2d(semantic, factor)
    return semantic.expand(-1, -1, height, width).contiguous()


class PyramidDilation(nn.Module):
    """Pyramid dilation convolution: near and far surroundings at once (Fig. 3).

    Four grouped 3x3 convolutions, each with its own dilation, see a quarter of the channels
    each; a 1x1 convolution joins what they say.

    Args:
        channels: In and out; divisible by four times ``groups``.
        groups: Of each of the four.
        dilations: Of each of the four, in pixels.
    """

    def __init__(self, channels: int, groups: int, dilations: Sequence[int]) -> None:
        super().__init__()
        part = channels // _SUB_FEATURES
        self.branches = nn.ModuleList(
            nn.Conv2d(part, part, 3, padding=dilation, dilation=dilation, groups=groups)
            for dilation in dilations
        )
        self.fuse = nn.Conv2d(channels, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        parts = features.chunk(_SUB_FEATURES, dim=1)
        seen = [branch(part) for branch, part in zip(self.branches, parts, strict=True)]
        fused: torch.Tensor = self.fuse(torch.cat(seen, dim=1))
        return fused


class _Branch(nn.Sequential):
    """Conv, PDC, Conv: one of a matcher's two branches."""

    def __init__(self, inputs: int, outputs: int, parts: MatcherParts) -> None:
        super().__init__(
            nn.Conv2d(inputs, parts.channels, 1),
            nn.ReLU(),
            PyramidDilation(parts.channels, parts.groups, parts.dilations),
            nn.ReLU(),
            nn.Conv2d(parts.channels, outputs, 1),
        )


class PromptMatcher(nn.Module):
    """Semantic-aware Prompt Matcher (Fig. 2).

    Args:
        features: Channels of what it stands behind.
        classes: Of the semantic maps.
        parts: Its inner width, and how often it repeats.
    """

    def __init__(self, features: int, classes: int, parts: MatcherParts) -> None:
        super().__init__()
        self._recurrences = parts.recurrences
        self.semantic = _Branch(features + classes, classes, parts)
        self.prompt = _Branch(features + classes, features, parts)
        last = self.prompt[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def extra_repr(self) -> str:
        """Return what the weights do not tell."""
        return f"recurrences={self._recurrences}"

    def forward(
        self, features: torch.Tensor, semantic: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return features and semantic map anew, then the scores of every map on the way.

        Args:
            features: (B, C, h, w) float32.
            semantic: (B, classes, h, w) float32, probabilities.
        """
        history = []
        for _ in range(self._recurrences):
            scores = self.semantic(torch.cat([features, semantic], dim=1))
            history.append(scores)
            semantic = scores.softmax(dim=1)
            weight = self.prompt(torch.cat([features, semantic], dim=1))
            features = features + features * weight
        return (features, semantic, *history)


class StageMatchers(nn.Module):
    """The matchers of an encoder.

    Args:
        boundaries: Channels behind the embedding, then behind each of the N stages.
        classes: Of the semantic maps.
        parts: Where matchers stand, and what each is like.

    Attributes:
        frequencies: (classes,) float32, the share of each class in the training set's pixels.
            The trainer sets it.

    Raises:
        ValueError: The encoder has not so many stages.
    """

    frequencies: torch.Tensor

    def __init__(self, boundaries: Sequence[int], classes: int, parts: MatcherParts) -> None:
        super().__init__()
        beyond = [number for number in parts.prompted_stages if number > len(boundaries)]
        if beyond:
            msg = (
                f"'prompted_stages' names {', '.join(map(str, beyond))}; this image encoder "
                f"has {len(boundaries) - 1} stages, the head counts as stage {len(boundaries)}"
            )
            raise ValueError(msg)
        self.register_buffer("frequencies", torch.full((classes,), 1.0 / classes))
        self.before = nn.ModuleDict(
            {
                str(number): PromptMatcher(boundaries[number - 1], classes, parts)
                for number in sorted(parts.prompted_stages)
            }
        )

    @property
    def by_stage(self) -> dict[int, PromptMatcher]:
        """The matchers by the number of the stage that they stand before."""
        matchers: dict[int, PromptMatcher] = {}
        for number, matcher in self.before.items():
            assert isinstance(matcher, PromptMatcher)  # noqa: S101 - built so
            matchers[int(number)] = matcher
        return matchers

    def forward(self, stages: Sequence[Stage], images: torch.Tensor) -> Walked:
        """Run the stages with the matchers between them; see :func:`walk`."""
        return walk(stages, self.by_stage, self.frequencies, images)
