"""ONNX Runtime: the embedded CPU engine, and CUDA where its GPU build is installed.

On the CPU pictures run one at a time: on two cores four pictures in a row took 0.72 of the
time of one batch of four (the compact encoder), for what a picture leaves in the cache is
still there for the next layer. CUDA was written for, but has not been run.
"""

from __future__ import annotations

import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state

from lsm_engines.api import EngineError, EngineRequest, EngineSpec, Graph, check_inputs
from lsm_engines.export import onnx_file
from lsm_engines.plans import PlanStore

# Each of its errors is a class of its own, without a common one but Exception. RuntimeError is
# torch's, for lack of memory.
_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(
        kind
        for kind in vars(onnxruntime_pybind11_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
)
_SILENT = 4  # of its log: what fails is raised, and what it remarks nobody can change
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def build_engine(graph: Graph, request: EngineRequest, plans: PlanStore) -> OnnxRuntimeEngine:
    """Make ``graph`` ready to run in ONNX Runtime.

    Raises:
        EngineError: The device is not available, the precision is not ONNX Runtime's, or the
            graph cannot be exported or loaded.
    """
    device = _resolve_device(request.device)
    precision = request.precision or "fp32"
    if precision != "fp32":
        msg = f"onnxruntime has no {precision} here; use fp32"
        raise EngineError(msg)
    path = onnx_file(graph, plans)
    options = _session_options(request.threads, device)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[_PROVIDERS[device]])
    except _ERRORS as exc:
        msg = f"onnxruntime cannot load graph {graph.name!r} on {device}: {exc}"
        raise EngineError(msg) from exc
    if session.get_providers()[0] != _PROVIDERS[device]:  # it goes on without, and only warns
        msg = f"onnxruntime cannot use {device}: CUDA or cuDNN of its version is not installed"
        raise EngineError(msg)
    spec = EngineSpec(
        graph=graph.name,
        backend="onnxruntime",
        precision=precision,
        device=device,
        inputs=graph.inputs,
        outputs={output.name: tuple(output.shape[1:]) for output in session.get_outputs()},
        max_batch=request.max_batch,
    )
    return OnnxRuntimeEngine(session, spec)


class OnnxRuntimeEngine:
    """A session that reads and writes torch's memory."""

    def __init__(self, session: onnxruntime.InferenceSession, spec: EngineSpec) -> None:
        self._session: onnxruntime.InferenceSession | None = session
        self._spec = spec
        self._batch_step = 1 if spec.device == "cpu" else spec.max_batch

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        return self._spec

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch; see :class:`lsm_engines.api.Engine`."""
        if self._session is None:
            msg = "the engine is closed"
            raise EngineError(msg)
        check_inputs(self._spec, inputs)
        batch, device = len(inputs[0]), self._spec.device
        try:
            given = [tensor.detach().to(device).contiguous() for tensor in inputs]
            outputs = [
                torch.empty(batch, *shape, device=device)
                for shape in self._spec.outputs.values()
            ]
            for start in range(0, batch, self._batch_step):
                part = slice(start, start + self._batch_step)
                self._run(
                    self._session,
                    [tensor[part] for tensor in given],
                    [tensor[part] for tensor in outputs],
                )
        except _ERRORS as exc:
            msg = f"onnxruntime on {device}: {exc}"
            raise EngineError(msg) from exc
        return tuple(outputs)

    def close(self) -> None:
        """Drop the session, and with it its memory."""
        self._session = None

    def _run(
        self,
        session: onnxruntime.InferenceSession,
        inputs: list[torch.Tensor],
        outputs: list[torch.Tensor],
    ) -> None:
        """Read ``inputs`` and write ``outputs``, which are on the engine's device."""
        binding = session.io_binding()
        index = 0
        if self._spec.device == "cuda":
            index = torch.cuda.current_device()
            # Its stream is another than torch's: what torch still computes must be there.
            torch.cuda.current_stream().synchronize()
        for bind, names, tensors in (
            (binding.bind_input, self._spec.inputs, inputs),
            (binding.bind_output, self._spec.outputs, outputs),
        ):
            for name, tensor in zip(names, tensors, strict=True):
                bind(
                    name,
                    self._spec.device,
                    index,
                    "float32",
                    tuple(tensor.shape),
                    tensor.data_ptr(),
                )
        session.run_with_iobinding(binding)  # returns when the outputs are written


def _session_options(threads: int, device: str) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = _SILENT
    # A thread that waits by spinning takes a core from the cameras. With both cores of a
    # machine in use by others too, the compact encoder took 40 ms of CPU time instead of 77,
    # and 0.70 of the time on the clock.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device == "cpu":
        options.add_free_dimension_override_by_name("batch", 1)
    return options


def _resolve_device(device: str) -> str:
    # The GPU build may be there without a GPU, and the GPU without the GPU build.
    has_cuda = (
        _PROVIDERS["cuda"] in onnxruntime.get_available_providers()
        and torch.cuda.is_available()
    )
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    if device not in _PROVIDERS:
        msg = f"unknown device {device!r}; use auto, cpu or cuda"
        raise EngineError(msg)
    if device == "cuda" and not has_cuda:
        msg = "onnxruntime has no 'cuda' here; install onnxruntime-gpu, or use 'auto' or 'cpu'"
        raise EngineError(msg)
    return device
