"""ONNX models as a GPU computes them: every tensor is rounded to its type.

ONNX Runtime on the CPU is no judge of half precision: it computes a float16 model in float32
and rounds at its end. So each node is a session of its own here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, NodeProto, helper, numpy_helper

Array = npt.NDArray[np.float32 | np.float16 | np.int64]

_SHAPES = frozenset({"Expand", "Reshape", "Resize"})  # an input of theirs decides a shape


def run_rounded(model: ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return every tensor that the model computes, by name."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    tensors: dict[str, Array] = dict(inputs)
    for node in model.graph.node:
        names = [name for name in dict.fromkeys(node.input) if name]
        given = {name: tensors[name] if name in tensors else weights[name] for name in names}
        results = _session(node, given, model).run(None, _fed(node, given))
        tensors |= dict(zip((name for name in node.output if name), results, strict=True))
    return tensors


def _session(
    node: NodeProto, given: Mapping[str, Array], model: ModelProto
) -> onnxruntime.InferenceSession:
    fed = _fed(node, given)
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in fed.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        [numpy_helper.from_array(given[name], name) for name in given.keys() - fed.keys()],
    )
    alone = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # it warns of half precision on the CPU
    return onnxruntime.InferenceSession(
        alone.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _fed(node: NodeProto, given: Mapping[str, Array]) -> dict[str, Array]:
    """Return the inputs that are not baked into the node's model."""
    baked = node.input[1:] if node.op_type in _SHAPES else []
    return {name: array for name, array in given.items() if name not in baked}
