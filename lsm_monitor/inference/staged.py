"""An image encoder in stages, each on an engine of its own, with matchers between them.

To whoever calls it, it is one engine. Another adapter brings other matchers: the stages' plans
stay as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch

from lsm_engines import Engine, EngineSpec
from lsm_engines.api import check_inputs
from lsm_monitor.model.prompt_matcher import Match, Stage, Walked, walk
from lsm_monitor.model.stage_graphs import StageGraphs


def only(run: Callable[[torch.Tensor], Sequence[torch.Tensor]]) -> Stage:
    """Return ``run`` without the tuple round its only output."""

    def run_stage(features: torch.Tensor) -> torch.Tensor:
        (output,) = run(features)
        return output

    return run_stage


class StagedEngine:
    """Stages and matchers by turns; an :class:`lsm_engines.Engine`. Not thread-safe.

    Args:
        graphs: What the engines run.
        stages: Of ``graphs.stages``; closed by :meth:`close`.
        matchers: Of ``graphs.matchers``; closed by :meth:`close`.
    """

    def __init__(
        self,
        graphs: StageGraphs,
        stages: Sequence[Engine],
        matchers: Mapping[int, Engine],
    ) -> None:
        self._stages = stages
        self._matchers = matchers
        first = stages[0].spec
        specs = [engine.spec for engine in (*stages, *matchers.values())]
        outputs = [shape for engine in stages for shape in engine.spec.outputs.values()]
        rounded = [spec.precision for spec in specs if spec.precision != "fp32"]
        self._spec = dataclasses.replace(
            first,
            graph="encoder",
            backend="+".join(dict.fromkeys(engine.spec.backend for engine in stages)),
            precision=rounded[0] if rounded else "fp32",
            outputs=dict(zip(graphs.maps, outputs[-len(graphs.maps) :], strict=True)),
        )
        self._frequencies = graphs.frequencies.detach().to(first.device)

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run: the backends of the stages, the coarsest arithmetic."""
        return self._spec

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch: (B, 3, S, S) -> the maps; see :meth:`lsm_engines.Engine.run`."""
        check_inputs(self._spec, inputs)
        with torch.inference_mode():
            walked = self._walk(inputs[0].to(self._spec.device))
        return tuple(walked.outputs[-len(self._spec.outputs) :])

    def close(self) -> None:
        """Free what the engines hold. Calling it twice is allowed."""
        for engine in (*self._stages, *self._matchers.values()):
            engine.close()

    def _walk(self, images: torch.Tensor) -> Walked:
        stages: list[Stage] = [only(engine.run) for engine in self._stages]
        matchers: dict[int, Match] = {
            number: engine.run for number, engine in self._matchers.items()
        }
        return walk(stages, matchers, self._frequencies, images)
