"""The model's graphs on engines: where the head runs, and what engines are tried with.

On a GPU the head is a small part of the work and changes with every training: not worth the
minutes that a plan takes there. So PyTorch runs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from lsm_engines import Engine, EngineRequest, Graph
from lsm_engines.contest import Probes
from lsm_engines.plans import PlanStore
from lsm_monitor.inference.inputs import GraphInputs
from lsm_monitor.inference.probes import probe_pictures
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.lsm_adapter import LsmAdapter

_PROBES = 2  # one would not show that the pictures of a batch are mixed up


@dataclass(frozen=True, slots=True, eq=False)
class ModelGraphs:
    """A model's graphs. ``head`` is ``None`` for a head that only PyTorch runs."""

    model: LsmAdapter
    encoder: Graph
    head: Graph | None

    @classmethod
    def of(cls, model: LsmAdapter) -> ModelGraphs:
        """Return the graphs of ``model``."""
        return cls(model, encoder_graph(model), head_graph(model))


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

    encoder = build(
        backend, graphs.encoder, request, plans, lambda: _ordered(graphs.encoder, probes())
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


def _ordered(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    return [tensors[name] for name in graph.inputs]
