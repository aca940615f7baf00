"""Graphs as ONNX files: what all backends but PyTorch build from.

The batch is dynamic. Where the module's code forbids that (``len(images)`` is enough), the
exporter silently gives up on it and writes the batch of its example into the file: here that
is an error. What it notes about its work is removed, for it names source files by their paths.
"""

from __future__ import annotations

import importlib.metadata
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from lsm_engines.api import EngineError, Graph
from lsm_engines.plans import PlanKey, PlanStore

OPSET = 20
_EXAMPLE_BATCH = 2  # 1 is a constant to the exporter
_LARGEST_BYTES = 2_000_000_000  # a protobuf message ends at 2 GiB, and a plan is one file
_EXPORTERS = ("torch", "onnx", "onnxscript")
_CHATTY = ("onnxscript", "onnx_ir", "torch.onnx._internal.exporter._registration")


def onnx_file(graph: Graph, plans: PlanStore) -> Path:
    """Return ``graph`` as an ONNX file with float32 inputs and outputs, exporting it if needed.

    Raises:
        EngineError: The graph cannot be exported; the text names it.
    """
    versions = {name: importlib.metadata.version(name) for name in _EXPORTERS}
    fields = {"fingerprint": graph.fingerprint, "opset": str(OPSET), **versions}
    return plans.obtain(PlanKey(graph.name, "onnx", fields), lambda path: _export(graph, path))


class _Positional(nn.Module):
    """Takes its inputs in a row, whatever the signature of ``module`` is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = self.module(*inputs)
        return outputs


def _export(graph: Graph, path: Path) -> None:
    # Not at the top: a plan that is there needs none of it, and it takes seconds to import.
    import onnx  # noqa: PLC0415
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass  # noqa: PLC0415

    _check_size(graph)
    batch = {0: torch.export.Dim("batch")}
    try:
        with _quiet():
            program = torch.onnx.export(
                _Positional(graph.module).eval(),
                tuple(torch.zeros(_EXAMPLE_BATCH, *shape) for shape in graph.inputs.values()),
                dynamo=True,
                dynamic_shapes=((batch,) * len(graph.inputs),),
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None  # noqa: S101 - it is for dynamo
            _check_batch(graph, program)
            ClearMetadataAndDocStringPass()(program.model)
            program.save(path, external_data=False)
        onnx.checker.check_model(path, full_check=True)
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError) as exc:
        raise EngineError(_failure(graph, _summary(exc))) from exc


def _check_size(graph: Graph) -> None:
    size_bytes = sum(tensor.nbytes for tensor in graph.module.state_dict().values())
    if size_bytes > _LARGEST_BYTES:
        reason = f"its {size_bytes} bytes are more than one ONNX file holds"
        raise EngineError(_failure(graph, reason))


def _check_batch(graph: Graph, program: torch.onnx.ONNXProgram) -> None:
    for value in (*program.model.graph.inputs, *program.model.graph.outputs):
        if value.shape is None or isinstance(value.shape[0], int):
            reason = f"its code fixes the batch of {value.name} to {_EXAMPLE_BATCH}"
            raise EngineError(_failure(graph, reason))


def _failure(graph: Graph, reason: str) -> str:
    remedy = "use the backend torch for it"
    return f"graph {graph.name!r} cannot be exported to ONNX: {reason}; {remedy}"


def _summary(exc: BaseException) -> str:
    """Return the first line of the first cause; the exporter's own text fills a screen."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    lines = str(exc).strip().splitlines()
    return lines[0] if lines else type(exc).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks from the user: deprecations, torchvision, every step."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
