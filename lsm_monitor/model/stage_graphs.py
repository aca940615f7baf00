"""An encoder with prompts between its stages, as graphs that an engine can compile one by one.

The frozen stages are graphs of their own: nothing that is trained is in them, so their plans
serve every adapter file. The matchers are small and change with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from lsm_engines import Graph
from lsm_monitor.model.graphs import digest_of
from lsm_monitor.model.image_encoder import ImageEncoder
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.prompt_matcher import PromptMatcher, StageMatchers


@dataclass(frozen=True, slots=True, eq=False)
class StageGraphs:
    """The graphs of an encoder with matchers.

    Attributes:
        stages: The embedding, ``stage_0``: images -> output; then ``stage_1`` to ``stage_N``:
            features -> output.
        matchers: By the number of the stage that they stand before, N + 1 for the head:
            features, semantic -> matched, refined.
        frequencies: (classes,) float32, the first semantic map at every place.
        maps: Names of what the head gets: the outputs of the last stages.
    """

    stages: tuple[Graph, ...]
    matchers: Mapping[int, Graph]
    frequencies: torch.Tensor
    maps: tuple[str, ...]


def stage_graphs(model: LsmAdapter) -> StageGraphs | None:
    """Return the graphs; ``None`` for a model without matchers.

    Args:
        model: Put into evaluation mode, not changed otherwise. The stages' fingerprints do not
            depend on its matchers.
    """
    adapter = model.encoder.adapter
    if not isinstance(adapter, StageMatchers):
        return None
    encoder: ImageEncoder = model.encoder.image_encoder  # type: ignore[assignment]  # it is one
    size_px = model.preprocessor.input_size_px
    shapes = [
        (channels, size_px // stride, size_px // stride)
        for channels, stride in encoder.boundaries
    ]
    stages = []
    inputs: dict[str, tuple[int, ...]] = {"images": (3, size_px, size_px)}
    for index, (module, shape) in enumerate(zip(encoder.frozen_stages(), shapes, strict=True)):
        stages.append(_graph(f"stage_{index}", _Stage(module), inputs, ("output",)))
        inputs = {"features": shape}
    classes = len(adapter.frequencies)
    matchers = {}
    for number, matcher in adapter.by_stage.items():
        shape = shapes[number - 1]
        inputs = {"features": shape, "semantic": (classes, *shape[1:])}
        module = _Matcher(matcher)
        matchers[number] = _graph(f"matcher_{number}", module, inputs, ("matched", "refined"))
    names = tuple(f"map_{index}" for index in range(len(encoder.channels)))
    return StageGraphs(tuple(stages), matchers, adapter.frequencies, names)


class _Stage(nn.Module):
    """A stage, its answer as an engine must give it."""

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.stage(features),)


class _Matcher(nn.Module):
    """A matcher without the scores, which only training looks at."""

    def __init__(self, matcher: PromptMatcher) -> None:
        super().__init__()
        self.matcher = matcher

    def forward(
        self, features: torch.Tensor, semantic: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        matched, refined, *_ = self.matcher(features, semantic)
        return matched, refined


def _graph(
    name: str,
    module: nn.Module,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: tuple[str, ...],
) -> Graph:
    fingerprint = digest_of(module, inputs, module.state_dict())
    return Graph(name, module.eval(), dict(inputs), outputs, fingerprint)
