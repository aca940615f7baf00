"""OpenVINO on the CPU.

The model is compiled for one picture, and a batch is run picture by picture: with a dynamic
batch the compact encoder took half as long again for one picture, and 1.1 times as long for
four. What is compiled is not kept: loading it would save 0.4 s of 0.6 s, at every start, for
a file that belongs to one processor and one release.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import openvino
import torch

from lsm_engines.api import (
    EngineError,
    EngineRequest,
    EngineSpec,
    Graph,
    Precision,
    check_inputs,
)
from lsm_engines.export import onnx_file
from lsm_engines.plans import PlanStore

_DEVICE = "CPU"
_PRECISION_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16"}


def build_engine(graph: Graph, request: EngineRequest, plans: PlanStore) -> OpenVinoEngine:
    """Make ``graph`` ready to run in OpenVINO.

    Raises:
        EngineError: The device or the precision is not OpenVINO's here, or the graph cannot be
            exported or compiled.
    """
    if request.device not in {"auto", "cpu"}:
        msg = f"openvino runs on the CPU only, not on {request.device!r}; use 'auto' or 'cpu'"
        raise EngineError(msg)
    core = the_core()
    precision = request.precision or "fp32"
    _check_precision(core, precision)
    path = onnx_file(graph, plans)
    try:
        model = core.read_model(path)
        model.reshape({name: [1, *shape] for name, shape in graph.inputs.items()})
        compiled = core.compile_model(model, _DEVICE, _settings(request.threads, precision))
        outputs = {port.any_name: tuple(port.shape)[1:] for port in compiled.outputs}
        infer_request = compiled.create_infer_request()
    except RuntimeError as exc:  # the only class of its errors
        msg = f"openvino cannot compile graph {graph.name!r}: {exc}"
        raise EngineError(msg) from exc
    spec = EngineSpec(
        graph=graph.name,
        backend="openvino",
        precision=precision,
        device="cpu",
        inputs=graph.inputs,
        outputs=outputs,
        max_batch=request.max_batch,
    )
    return OpenVinoEngine(infer_request, spec)


@cache
def the_core() -> openvino.Core:
    """Return the one of this process, made by a thread that ends.

    The thread that loads OpenVINO's plugin gets a signal stack from it, which is unmapped when
    the plugin goes, in whatever thread that happens. The first one's next signal would then
    end the process (SIGSEGV); no signal comes to a thread that has ended.
    """

    def load() -> openvino.Core:
        core = openvino.Core()
        core.get_versions(_DEVICE)  # loads the plugin
        return core

    with ThreadPoolExecutor(1, thread_name_prefix="openvino") as thread:
        return thread.submit(load).result()


class OpenVinoEngine:
    """A compiled model that reads and writes torch's memory."""

    def __init__(self, infer_request: openvino.InferRequest, spec: EngineSpec) -> None:
        self._request: openvino.InferRequest | None = infer_request
        self._spec = spec

    @property
    def spec(self) -> EngineSpec:
        """What is ready to run."""
        return self._spec

    def run(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run a batch; see :class:`lsm_engines.api.Engine`."""
        if self._request is None:
            msg = "the engine is closed"
            raise EngineError(msg)
        check_inputs(self._spec, inputs)
        batch = len(inputs[0])
        try:
            given = [tensor.detach().cpu().contiguous() for tensor in inputs]
            outputs = [torch.empty(batch, *shape) for shape in self._spec.outputs.values()]
            names = (*self._spec.inputs, *self._spec.outputs)
            for index in range(batch):
                for name, tensor in zip(names, [*given, *outputs], strict=True):
                    picture = tensor[index : index + 1].numpy()
                    self._request.set_tensor(name, openvino.Tensor(picture, shared_memory=True))
                self._request.infer(share_outputs=True)
        except RuntimeError as exc:
            msg = f"openvino: {exc}"
            raise EngineError(msg) from exc
        return tuple(outputs)

    def close(self) -> None:
        """Drop the compiled model, and with it its memory."""
        self._request = None


def _check_precision(core: openvino.Core, precision: Precision) -> None:
    if precision not in _PRECISION_HINTS:
        msg = f"openvino has no {precision} here; use fp32 or bf16"
        raise EngineError(msg)
    if precision == "bf16" and "BF16" not in core.get_property(
        _DEVICE, "OPTIMIZATION_CAPABILITIES"
    ):
        msg = "this processor has no bfloat16 arithmetic; use fp32"
        raise EngineError(msg)


def _settings(threads: int, precision: Precision) -> dict[str, object]:
    settings: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        # Left alone, it takes bfloat16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
        # Threads tied to cores wait for them when others run there: with both cores in use,
        # the compact encoder took 456 ms on the clock instead of 339.
        "ENABLE_CPU_PINNING": False,
    }
    if threads > 0:
        settings["INFERENCE_NUM_THREADS"] = threads
    return settings
