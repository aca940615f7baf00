"""The model's graphs on engines: where the head runs, and what engines are tried with.

On a GPU the head is a small part of the work and changes with every training: not worth the
minutes that a plan takes there. So PyTorch runs it, and what is matched between an encoder's
stages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from lsm_engines import Engine, EngineRequest, Graph
from lsm_engines.contest import Probes
from lsm_engines.plans import PlanStore
from lsm_monitor.inference.inputs import GraphInputs
from lsm_monitor.inference.probes import probe_pictures
from lsm_monitor.inference.staged import StagedEngine, only
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.prompt_matcher import walk
from lsm_monitor.model.stage_graphs import StageGraphs, stage_graphs

_PROBES = 2  # one would not show that the pictures of a batch are mixed up


@dataclass(frozen=True, slots=True, eq=False)
class ModelGraphs:
    """A model's graphs.

    Attributes:
        model: Whose.
        encoder: The image encoder with its adapter; with matchers, what ``stages`` do together.
        head: ``None`` for a head that only PyTorch runs.
        stages: The parts of an encoder with matchers, which are what engines run of it.
    """

    model: LsmAdapter
    encoder: Graph
    head: Graph | None
    stages: StageGraphs | None

    @classmethod
    def of(cls, model: LsmAdapter) -> ModelGraphs:
        """Return the graphs of ``model``."""
        return cls(model, encoder_graph(model), head_graph(model), stage_graphs(model))


@dataclass(frozen=True, slots=True)
class ModelEngines:
    """A model's graphs, ready to run. ``head`` is ``None`` where there is no such graph."""

    encoder: Engine
    head: Engine | None

    def close(self) -> None:
        """Free both."""
        self.encoder.close()
        if self.head is not None:
            self.head.close()


class BuildEngine(Protocol):
    """Makes a graph ready to run: :func:`lsm_engines.choose.prefer_engine`, or a stricter one.

    Raises:
        EngineError: That is not possible here.
    """

    def __call__(
        self,
        backend: str,
        graph: Graph,
        request: EngineRequest,
        plans: PlanStore,
        probes: Probes | None = None,
    ) -> Engine:
        """Return the engine; ``probes`` are what it may be tried with."""
        ...


def build_engines(
    graphs: ModelGraphs,
    build: BuildEngine,
    *,
    backend: str,
    request: EngineRequest,
    plans: PlanStore,
) -> ModelEngines:
    """Make the graphs of a model ready to run.

    Args:
        graphs: What to run.
        build: Makes one of them ready.
        backend: What ``build`` is asked for.
        request: Device, threads, batch and arithmetic.
        plans: Where backends keep what they compile.

    Raises:
        EngineError: That is not possible here.
    """

    def probes() -> Mapping[str, torch.Tensor]:
        resize = graphs.model.preprocessor.resize
        pictures = probe_pictures(min(_PROBES, request.max_batch))
        return GraphInputs(graphs.model).of([resize(picture) for picture in pictures])

    if graphs.stages is None:
        encoder = build(
            backend, graphs.encoder, request, plans, lambda: _ordered(graphs.encoder, probes())
        )
    else:
        images = probes()["images"]
        encoder = _build_stages(
            graphs.stages, build, images, backend=backend, request=request, plans=plans
        )
    if graphs.head is None:
        return ModelEngines(encoder, None)
    device, head = encoder.spec.device, graphs.head

    def head_probes() -> Sequence[torch.Tensor]:
        tensors = probes()
        maps = encoder.run(*_ordered(graphs.encoder, tensors))
        named = zip(encoder.spec.outputs, (each.cpu() for each in maps), strict=True)
        return _ordered(head, {**tensors, **dict(named)})

    name = backend if device == "cpu" else "torch"
    try:
        request = dataclasses.replace(request, device=device)
        return ModelEngines(encoder, build(name, head, request, plans, head_probes))
    except BaseException:
        encoder.close()
        raise


def _build_stages(
    graphs: StageGraphs,
    build: BuildEngine,
    images: torch.Tensor,
    *,
    backend: str,
    request: EngineRequest,
    plans: PlanStore,
) -> StagedEngine:
    """Make all ready, each tried with what those before it make of ``images``."""
    built: dict[str, Engine] = {}

    def built_when_run(
        graph: Graph, *, is_frozen: bool
    ) -> Callable[..., Sequence[torch.Tensor]]:
        def run(*inputs: torch.Tensor) -> Sequence[torch.Tensor]:
            device = next(iter(built.values())).spec.device if built else request.device
            name = backend if is_frozen or device == "cpu" else "torch"
            on_device = dataclasses.replace(request, device=device)
            tried_with = [each.cpu().contiguous() for each in inputs]
            engine = build(name, graph, on_device, plans, lambda: tried_with)
            built[graph.name] = engine
            return engine.run(*inputs)

        return run

    stages = [only(built_when_run(graph, is_frozen=True)) for graph in graphs.stages]
    matchers = {
        number: built_when_run(graph, is_frozen=False)
        for number, graph in graphs.matchers.items()
    }
    try:
        with torch.inference_mode():
            walk(stages, matchers, graphs.frequencies, images)
    except BaseException:
        for engine in built.values():
            engine.close()
        raise
    return StagedEngine(
        graphs,
        [built[graph.name] for graph in graphs.stages],
        {number: built[graph.name] for number, graph in graphs.matchers.items()},
    )


def _ordered(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    return [tensors[name] for name in graph.inputs]
