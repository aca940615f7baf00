"""What every engine promises.

A *graph* is a part of the model that takes tensors and returns tensors: the image encoder with
its adapter, or everything after it. A *backend* turns a graph into an *engine* that runs on
this machine. Parity is part of the promise: the same tensors in, the same tensors out as
PyTorch gives, within the tolerance that ``parity`` states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision = Literal["fp32", "bf16", "fp16"]


class EngineError(Exception):
    """A backend is unknown, not installed, or cannot run here; the text says what to do."""


class NoSuchBackendError(EngineError):
    """The backend is unknown or not installed: somebody asked for what is not there."""


class PlanError(EngineError):
    """A plan could not be built and stored for a reason that may pass, as a full disk does."""


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A part of the model that can be compiled.

    Attributes:
        name: ``encoder``, ``head``, or what a part of the encoder is called.
        module: In evaluation mode, on the CPU. Called with one float32 tensor for each of
            ``inputs``, in their order; returns a tuple of float32 tensors.
        inputs: Shape of each input, without the batch, by name.
        outputs: Name of each output.
        fingerprint: Changes whenever the module would answer differently: weights, code.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the caller wants.

    Attributes:
        device: ``cpu``, ``cuda``, or ``auto`` for the fastest one present.
        threads: CPU threads; 0 leaves the choice to the runtime.
        max_batch: Largest batch that one call will take.
        precision: Arithmetic inside the engine; ``None`` leaves the choice to the backend.
    """

    device: str = "auto"
    threads: int = 0
    max_batch: int = 1
    precision: Precision | None = None


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What is ready to run.

    Attributes:
        graph: Name of the graph.
        backend: Runtime that executes it.
        precision: Arithmetic inside; inputs and outputs are always float32.
        device: Where it runs, in torch's words: ``cpu``, ``cuda``.
        inputs: Shape of each input, without the batch, by name.
        outputs: Shape of each output, without the batch, by name.
        max_batch: Largest batch that one call takes.
    """

    graph: str
    backend: str
    precision: Precision
    device: str
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[int, ...]]
    max_batch: int


class Engine(Protocol):
    """A graph, ready to run. Not thread-safe: one thread owns it."""

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        ...

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch.

        Args:
            inputs: (B, ...) float32, contiguous, for each of ``spec.inputs`` in their order,
                on any device, 1 <= B <= ``spec.max_batch``.

        Returns:
            (B, ...) float32 for each of ``spec.outputs``, on the device of the engine. The
            memory belongs to the caller; later calls do not overwrite it.

        Raises:
            ValueError: An input has another shape or dtype.
            EngineError: The runtime failed.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds.

        Calling it twice is allowed, running afterwards is not.
        """
        ...


def check_inputs(spec: EngineSpec, inputs: tuple[torch.Tensor, ...]) -> None:
    """Check what a caller gives to :meth:`Engine.run`.

    Raises:
        ValueError: There are too few or too many, or one has another shape or dtype.
    """
    if len(inputs) != len(spec.inputs):
        msg = f"{spec.graph}: takes {', '.join(spec.inputs)}, got {len(inputs)} tensors"
        raise ValueError(msg)
    batch = len(inputs[0]) if inputs[0].ndim else 0
    if not 1 <= batch <= spec.max_batch:
        msg = f"{spec.graph}: a batch holds 1 to {spec.max_batch}, got {batch}"
        raise ValueError(msg)
    for (name, shape), tensor in zip(spec.inputs.items(), inputs, strict=True):
        if tensor.shape != (batch, *shape):
            msg = f"{spec.graph}: {name} must be {(batch, *shape)}, got {tuple(tensor.shape)}"
            raise ValueError(msg)
        if str(tensor.dtype) != "torch.float32":
            msg = f"{spec.graph}: {name} must be float32, got {tensor.dtype}"
            raise ValueError(msg)
