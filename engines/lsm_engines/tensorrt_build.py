"""Plans of TensorRT and of TensorRT for RTX, from ONNX files.

Building is apart from running: TensorRT for RTX builds without a GPU, so tests build real
plans everywhere. A plan computes in the types of the ONNX file: no precision flag is set, and
TF32, which is on by default and rounds as much as float16, is switched off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsm_engines.api import EngineError, Precision
from lsm_engines.tensorrt_library import Library

_INSTEAD = "use the backend onnxruntime or torch"


def build_plan(
    library: Library,
    onnx: Path,
    target: Path,
    *,
    precision: Precision,
    max_batch: int,
    workspace_bytes: int,
) -> None:
    """Write the plan of an ONNX file.

    Args:
        library: Builds the plan.
        onnx: Float32, the batch is dynamic.
        target: File to write.
        precision: ``fp32`` or ``fp16``; inputs and outputs are float32 with both.
        max_batch: Largest batch that the plan takes; it is tuned for the half of that.
        workspace_bytes: Scratch memory that the plan may use on the GPU.

    Raises:
        EngineError: The library has no such operator, needs a GPU to build, or failed.
        OSError: The plan cannot be written.
    """
    trt = library.module
    builder = library.create("Builder")
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, library.log)  # it owns the weights: keep it
    if not _parse(parser, onnx, precision):
        msg = f"{library} cannot parse the graph: {_errors_of(parser)}; {_INSTEAD}"
        raise EngineError(msg)
    config = _config(trt, builder, workspace_bytes)
    profile = _profile(builder, network, max_batch)
    accepted = config.add_optimization_profile(profile) >= 0
    plan = builder.build_serialized_network(network, config) if accepted else None
    if plan is None:
        msg = f"{library} cannot build the plan: {library.reasons.take()}; {_INSTEAD}"
        raise EngineError(msg)
    with target.open("wb") as file:
        file.write(plan)


def _network_flags(trt: Any) -> int:  # noqa: ANN401 - the library has no type hints
    """Ask for the types of the ONNX file, where there still is another way."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def _parse(parser: Any, onnx: Path, precision: Precision) -> bool:  # noqa: ANN401 - as above
    if precision == "fp32":
        return bool(parser.parse_from_file(str(onnx)))
    # Not at the top: a plan that is there needs none of it.
    from onnx import load_model  # noqa: PLC0415

    from lsm_engines.half_precision import half_precision  # noqa: PLC0415

    return bool(parser.parse(half_precision(load_model(onnx)).SerializeToString()))


def _errors_of(parser: Any) -> str:  # noqa: ANN401 - as above
    """Say all that the parser stumbled over, ``Unique 'node': UNSUPPORTED_NODE (false)``."""
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return "; ".join(
        f"{error.node_operator() or 'file'} {error.node_name()!r}: "
        f"{error.code().name} ({error.desc().strip()})"
        for error in errors
    )


def _config(trt: Any, builder: Any, workspace_bytes: int) -> Any:  # noqa: ANN401 - as above
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    config.clear_flag(trt.BuilderFlag.TF32)
    return config


def _profile(builder: Any, network: Any, max_batch: int) -> Any:  # noqa: ANN401 - as above
    """Tell for which batches the plan must work, and for which it should be fast."""
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        batch, *shape = tensor.shape
        if batch != -1:
            msg = f"input {tensor.name!r} of the ONNX file has a fixed batch of {batch}"
            raise EngineError(msg)
        batches = (1, (1 + max_batch) // 2, max_batch)
        profile.set_shape(tensor.name, *((size, *shape) for size in batches))
    return profile
