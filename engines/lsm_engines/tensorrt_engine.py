"""The backends ``tensorrt`` and ``tensorrt_rtx``: NVIDIA's compilers, on CUDA.

TensorRT works on PyTorch's tensors, in PyTorch's CUDA context, on a stream of its own: on the
default one it would wait for the whole GPU at every call.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lsm_engines.api import EngineError, EngineRequest, EngineSpec, Graph, check_inputs
from lsm_engines.tensorrt_library import load_library
from lsm_engines.tensorrt_plan import Plan

if TYPE_CHECKING:
    from lsm_engines.plans import PlanStore

logger = logging.getLogger(__name__)

_KERNELS_FILE = "kernels"


def build_engine(
    graph: Graph, request: EngineRequest, plans: PlanStore, *, library: str
) -> TensorRtEngine:
    """Make ``graph`` ready to run in TensorRT.

    Args:
        graph: What to run.
        request: ``fp16`` unless it asks for ``fp32``; ``threads`` is of no use here.
        plans: Where the plan is kept. Building it takes seconds to minutes.
        library: ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        EngineError: The request is not for CUDA or for another precision, the plan cannot be
            built, or there is no GPU. That is found out after the plan has been built, so that
            TensorRT for RTX, which needs no GPU to build, can be tried out anywhere.
    """
    precision = request.precision or "fp16"
    if precision not in {"fp32", "fp16"}:
        msg = f"{library} has no {precision} here; use fp32 or fp16"
        raise EngineError(msg)
    if request.device not in {"auto", "cuda"}:
        msg = f"{library} does not run on {request.device!r}; use 'cuda', or the backend torch"
        raise EngineError(msg)
    plan = Plan(load_library(library), graph, plans, precision, request.max_batch)
    if not torch.cuda.is_available():
        msg = (
            f"{library} cannot run here: PyTorch finds no CUDA device. The plan can be built, "
            f"{plan.obtain()}, and will be again for a GPU; use the backend torch"
        )
        raise EngineError(msg)
    try:
        return TensorRtEngine(plan)
    except RuntimeError as exc:  # what torch raises for lack of memory and CUDA faults
        msg = f"{library}: {exc}"
        raise EngineError(msg) from exc


class TensorRtEngine:
    """Runs a plan on the current CUDA device."""

    def __init__(self, plan: Plan) -> None:
        library, graph = plan.library, plan.graph
        self._library = library
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's stubs
        self._runtime = library.create("Runtime")  # PyTorch has made the CUDA context
        self._engine, path = plan.load(self._runtime)
        self._kernels = _Kernels(path.with_name(_KERNELS_FILE))
        self._context = self._kernels.create_context(self._engine)
        if self._context is None:
            msg = f"{library} cannot run {path}: {library.reasons.take()}; free GPU memory"
            raise EngineError(msg)
        self._spec = EngineSpec(
            graph=graph.name,
            backend=library.name,
            precision=plan.precision,
            device="cuda",
            inputs=graph.inputs,
            outputs={
                name: tuple(self._engine.get_tensor_shape(name))[1:] for name in graph.outputs
            },
            max_batch=plan.max_batch,
        )
        # TensorRT for RTX makes its kernels now, and not when the first frame waits.
        self.run(*(torch.zeros(1, *shape) for shape in graph.inputs.values()))
        self._kernels.save()

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        return self._spec

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch; see :class:`lsm_engines.api.Engine`."""
        if self._context is None:
            msg = "the engine is closed"
            raise EngineError(msg)
        check_inputs(self._spec, inputs)
        try:
            return self._run(inputs)
        except RuntimeError as exc:  # what torch raises for lack of memory and CUDA faults
            msg = f"{self._library}: {exc}"
            raise EngineError(msg) from exc

    def close(self) -> None:
        """Free the GPU memory of the plan, and keep the kernels made for it."""
        self._kernels.save()
        self._context = None  # then what it was made of
        self._kernels.close()
        self._engine = self._runtime = None

    def _run(self, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        # TensorRT is given addresses: these lists keep the memory until it is done.
        given = [tensor.detach().to("cuda").contiguous() for tensor in inputs]
        batch = len(inputs[0])
        outputs = [
            torch.empty(batch, *shape, device="cuda") for shape in self._spec.outputs.values()
        ]
        context = self._context
        for name, tensor in zip(self._spec.inputs, given, strict=True):
            self._check(context.set_input_shape(name, tuple(tensor.shape)), name)
            self._check(context.set_tensor_address(name, tensor.data_ptr()), name)
        for name, tensor in zip(self._spec.outputs, outputs, strict=True):
            self._check(context.set_tensor_address(name, tensor.data_ptr()), name)
        self._stream.wait_stream(torch.cuda.current_stream())
        queued = context.execute_async_v3(self._stream.cuda_stream)
        self._stream.synchronize()
        self._check(queued, self._spec.graph)
        return tuple(outputs)

    def _check(self, succeeded: bool, what: str) -> None:  # noqa: FBT001 - it is what is checked
        if not succeeded:
            msg = f"{self._library} failed at {what!r}: {self._library.reasons.take()}"
            raise EngineError(msg)


class _Kernels:
    """What TensorRT for RTX compiles for this GPU while running, kept beside the plan.

    The library checks what it loads, and makes anew what is foreign or damaged. TensorRT has
    no such thing: it compiles when it builds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config: Any = None  # the library's objects, which have no type
        self._cache: Any = None

    def create_context(self, engine: Any) -> Any:  # noqa: ANN401 - as above
        """Return the library's execution context, or ``None`` as the library does."""
        if hasattr(engine, "create_runtime_config"):
            self._config = engine.create_runtime_config()
        if not hasattr(self._config, "create_runtime_cache"):
            return engine.create_execution_context()
        self._cache = self._config.create_runtime_cache()
        if self._path.is_file():
            self._cache.deserialize(self._path.read_bytes())
        self._config.set_runtime_cache(self._cache)
        return engine.create_execution_context(runtime_config=self._config)

    def save(self) -> None:
        """Write them to the file. Where that fails the next start is slower, no more."""
        content = None if self._cache is None else self._cache.serialize()
        if content is None:
            return
        building = self._path.with_suffix(".new")
        try:
            building.write_bytes(memoryview(content))
            building.replace(self._path)
        except OSError as exc:
            logger.info("the kernels of TensorRT for RTX are not kept: %s", exc)

    def close(self) -> None:
        """Free the library's objects; the context must be free already."""
        self._cache = self._config = None
