"""The reference backend: PyTorch, on the CPU or on CUDA.

Convolutions run in channels-last layout, which took 0.6 of the time of the default layout for
a training step of the compact encoder at 384 pixels on two cores. On CUDA the matrix products
run in bfloat16, and each batch size is captured once as a CUDA graph: launching hundreds of
small kernels one by one takes longer than running them.
"""

from __future__ import annotations

import copy
import threading

import torch
from torch import nn

from lsm_engines.api import (
    EngineError,
    EngineRequest,
    EngineSpec,
    Graph,
    Precision,
    check_inputs,
)
from lsm_engines.plans import PlanStore

_WARM_UP_RUNS = 3  # lets cuDNN choose its algorithms before they are captured
_CAPTURING = threading.Lock()


def build_engine(graph: Graph, request: EngineRequest, plans: PlanStore) -> TorchEngine:
    """Make ``graph`` ready to run in PyTorch. There is nothing to keep in ``plans``.

    ``request.threads`` is PyTorch's setting for the whole process: it has no other.

    Raises:
        EngineError: CUDA is asked for but not there, or the precision is not PyTorch's.
    """
    del plans
    device = _resolve_device(request.device)
    precision = request.precision or ("bf16" if device == "cuda" else "fp32")
    if precision not in {"fp32", "bf16"}:
        msg = f"torch has no {precision} here; use fp32 or bf16"
        raise EngineError(msg)
    if request.threads > 0:
        torch.set_num_threads(request.threads)
    try:
        return TorchEngine(graph, request, device, precision)
    except RuntimeError as exc:  # what torch raises for lack of memory and CUDA faults
        msg = f"torch engine on {device}: {exc}"
        raise EngineError(msg) from exc


class TorchEngine:
    """Runs the module: on the CPU the graph's own, brought to channels-last, else a copy."""

    def __init__(
        self, graph: Graph, request: EngineRequest, device: str, precision: Precision
    ) -> None:
        module = graph.module if device == "cpu" else copy.deepcopy(graph.module).to(device)
        self._module: nn.Module | None = module.eval().to(
            memory_format=torch.channels_last  # type: ignore[call-overload]  # missing in torch's stubs
        )
        self._precision = precision
        self._device = device
        self._captured: dict[int, _CapturedGraph] = {}  # by batch
        zeros = [torch.zeros(1, *shape) for shape in graph.inputs.values()]
        outputs = self._run(self._module, zeros)
        self._spec = EngineSpec(
            graph=graph.name,
            backend="torch",
            precision=precision,
            device=device,
            inputs=graph.inputs,
            outputs={
                name: tuple(output.shape[1:])
                for name, output in zip(graph.outputs, outputs, strict=True)
            },
            max_batch=request.max_batch,
        )

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        return self._spec

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch; see :class:`lsm_engines.api.Engine`."""
        if self._module is None:
            msg = "the engine is closed"
            raise EngineError(msg)
        check_inputs(self._spec, inputs)
        try:
            return self._run(self._module, inputs)
        except RuntimeError as exc:  # what torch raises for lack of memory and CUDA faults
            msg = f"torch engine on {self._device}: {exc}"
            raise EngineError(msg) from exc

    def close(self) -> None:
        """Drop the module, and with it its device memory."""
        self._module = None
        self._captured.clear()

    def _run(
        self, module: nn.Module, inputs: tuple[torch.Tensor, ...] | list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        with torch.inference_mode():
            if self._device == "cpu":
                return self._forward(module, [_channels_last(tensor) for tensor in inputs])
            batch = len(inputs[0])
            if batch not in self._captured:
                self._captured[batch] = self._capture(module, inputs)
            return self._captured[batch].replay(inputs)

    def _forward(
        self, module: nn.Module, inputs: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        # A cache of casted weights must not outlive the capture that made it.
        with torch.autocast(
            self._device,
            torch.bfloat16,
            enabled=self._precision == "bf16",
            cache_enabled=False,
        ):
            return tuple(output.float().contiguous() for output in module(*inputs))

    def _capture(
        self, module: nn.Module, inputs: tuple[torch.Tensor, ...] | list[torch.Tensor]
    ) -> _CapturedGraph:
        """Record the kernels of one forward pass on tensors of its own."""
        static = [_channels_last(tensor.to(self._device)).clone() for tensor in inputs]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's stubs
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP_RUNS):
                self._forward(module, static)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # One at a time in a process; and what another thread does on the GPU meanwhile, such as
        # judging while a new model is made ready, is no error of this one.
        with _CAPTURING, torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self._forward(module, static)
        return _CapturedGraph(graph, static, outputs)


class _CapturedGraph:
    """A forward pass of one batch size: its kernels and the tensors they read and write."""

    def __init__(
        self,
        graph: torch.cuda.CUDAGraph,
        inputs: list[torch.Tensor],
        outputs: tuple[torch.Tensor, ...],
    ) -> None:
        self._graph = graph
        self._inputs = inputs
        self._outputs = outputs

    def replay(
        self, inputs: tuple[torch.Tensor, ...] | list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Return the outputs for ``inputs``, in memory of the caller's."""
        for static, given in zip(self._inputs, inputs, strict=True):
            static.copy_(given)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Lay out pictures and maps as the weights are; a batch of vectors has one layout only."""
    if tensor.ndim != 4:  # noqa: PLR2004 - (B, C, H, W)
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)


def _resolve_device(device: str) -> str:
    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device not in {"cpu", "cuda"}:
        msg = f"unknown device {device!r}; use auto, cpu or cuda"
        raise EngineError(msg)
    if device == "cuda" and not has_cuda:
        msg = "device 'cuda' is not available here; use 'auto' or 'cpu'"
        raise EngineError(msg)
    return device
