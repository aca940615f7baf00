"""Backends for the tests of the choice: each is broken in its own way, or slow."""

from __future__ import annotations

import dataclasses
import threading

import torch

from lsm_engines import Engine, EngineError, EngineRequest, EngineSpec, Graph, torch_engine
from lsm_engines.plans import PlanKey, PlanStore
from lsm_engines.registry import Backend

_LIBRARY = "torch"  # any that is installed


def backend(kind: str) -> Backend:
    """Return a backend of this module; ``kind`` is how it behaves."""
    return Backend(__name__, _LIBRARY, "", devices=("cpu",), arguments={"kind": kind})


def build_engine(graph: Graph, request: EngineRequest, plans: PlanStore, kind: str) -> Engine:
    """Return PyTorch's engine, spoilt."""
    if kind == "does-not-build":
        msg = "operator not supported"
        raise EngineError(msg)
    if kind == "does-not-load":
        msg = "libnothing.so.1: cannot open shared object file"
        raise OSError(msg)
    if kind == "full-disk":
        key = PlanKey(graph.name, "full-disk", {"fingerprint": graph.fingerprint})
        # The kernel's device that is always full: a real ENOSPC.
        plans.obtain(key, lambda _: _fill("/dev/full"))
    return Spoilt(torch_engine.build_engine(graph, request, plans), kind)


class Spoilt:
    """An engine whose answers are wrong or late."""

    def __init__(self, engine: Engine, kind: str) -> None:
        self._engine = engine
        self._kind = kind

    @property
    def spec(self) -> EngineSpec:
        return dataclasses.replace(self._engine.spec, backend=self._kind)

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self._engine.run(*inputs)
        if self._kind == "slow":
            threading.Event().wait(0.05)  # never set: what is slow is simulated
        if self._kind == "lies":
            return tuple(output + output.std() for output in outputs)
        if self._kind == "lies-in-batches" and len(inputs[0]) > 1:
            return tuple(output.roll(1, dims=0) for output in outputs)
        if self._kind == "forgets-an-output":
            return outputs[:1]
        if self._kind == "does-not-run":
            msg = "illegal instruction"
            raise EngineError(msg)
        return outputs

    def close(self) -> None:
        self._engine.close()


def _fill(path: str) -> None:
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123 - unbuffered
        file.write(b"x")
