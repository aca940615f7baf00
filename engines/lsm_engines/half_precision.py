"""ONNX models in half precision, for runtimes that compute in the types a model states.

TensorRT 11 has no precision flags any more: what is to run in float16 must be float16 in the
ONNX. Inputs and outputs stay float32. Which node gets which type follows torch.autocast:
products run in half precision, what sums up or normalises in single, the rest as its inputs.

Measured with the compact model on 16 street pictures, each tensor rounded to its type: the
mean error of the logits, which reach from -13 to 9, is 0.024 with everything in float16 and
0.003 like this, and 0.023 % or 0.006 % of the pixels change sides. Short convolutions make the
difference; norms and reductions are worth 0.0006 and Softmax nothing. (ONNX Runtime's CPU is
no judge: it computes float16 models in float32.)

``onnxruntime.transformers.float16`` is not used: two nodes kept in float32 that share an input
give an invalid file (1.31), and what passes between two of them is rounded to float16.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from lsm_engines.api import EngineError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_SINGLE, _HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
_SUFFIX = {_SINGLE: "/single", _HALF: "/half"}
_LARGEST = float(np.finfo(np.float16).max)

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# As the inputs are; half where both kinds meet. Softmax is among them because TensorRT fuses an
# attention only if all of it is in one type.
_FOLLOWERS = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather"}
    | {"Gelu", "HardSwish", "Identity", "LeakyRelu", "MaxPool", "Mul", "Pad", "Relu"}
    | {"Reshape", "Resize", "Sigmoid", "Slice", "Softmax", "SpaceToDepth", "Split"}
    | {"Squeeze", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where"}
)
# Half only if all inputs are: with another one, a mean or a norm, they end a normalisation.
_CAREFUL_FOLLOWERS = frozenset({"Div", "Einsum", "Sub"})
# A convolution that sums fewer terms stays single: depthwise ones, and those of few channels.
# Their weights are large, of both signs, and cancel on plain surfaces if they are not rounded.
_SHORT_SUM = 64
# Inputs that are float32 whatever the others are.
_ALWAYS_SINGLE = {"Resize": frozenset({2})}


def half_precision(model: ModelProto) -> ModelProto:
    """Return a model that computes in float16 where that is good enough.

    Args:
        model: Float32, nodes in topological order, weights inside. Not changed.

    Returns:
        Inputs and outputs have the names and types of ``model``'s; nodes are in order.

    Raises:
        EngineError: The model branches or loops.
    """
    typed = onnx.shape_inference.infer_shapes(model)
    for node in typed.graph.node:
        if any(a.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for a in node.attribute):
            msg = f"{node.op_type} {node.name!r} cannot be brought to fp16; use precision fp32"
            raise EngineError(msg)
    writer = _Writer(typed.graph)
    for node in typed.graph.node:
        writer.add(node)
    half = helper.make_model(
        writer.graph(), opset_imports=typed.opset_import, ir_version=typed.ir_version
    )
    onnx.checker.check_model(half)
    return half


class _Writer:
    """Copies a graph node by node, and puts casts where types meet.

    A tensor keeps its name in the type in which it is made; in the other one it has a suffix.
    """

    def __init__(self, source: GraphProto) -> None:
        self._source = source
        self._floats = {
            value.name
            for value in (*source.input, *source.output, *source.value_info)
            if value.type.tensor_type.elem_type == _SINGLE
        }
        self._weights = {t.name: t for t in source.initializer if t.data_type == _SINGLE}
        self._floats -= self._weights.keys()
        self._outputs = {value.name for value in source.output}
        # By name of float tensors that depend on the graph's inputs.
        self._made_in = {value.name: _SINGLE for value in source.input}
        self._names = {(value.name, _SINGLE): value.name for value in source.input}
        self._nodes: list[NodeProto] = []
        self._half_weights: list[TensorProto] = []

    def add(self, node: NodeProto) -> None:
        """Append a copy of ``node`` in the type that suits it."""
        type_ = self._choose(node)
        copy = NodeProto()
        copy.CopyFrom(node)
        always_single = _ALWAYS_SINGLE.get(node.op_type, frozenset[int]())
        for index, name in enumerate(node.input):
            copy.input[index] = self._as(name, _SINGLE if index in always_single else type_)
        self._nodes.append(copy)
        depends = any(name in self._made_in for name in node.input)
        for index, name in enumerate(node.output):
            if depends:
                self._made_in[name] = type_
            if name not in self._floats:
                continue
            self._names[name, type_] = name
            if type_ == _HALF and name in self._outputs:
                copy.output[index] = self._names[name, _HALF] = name + _SUFFIX[_HALF]
                self._names[name, _SINGLE] = name
                self._cast(copy.output[index], name, _SINGLE)

    def graph(self) -> GraphProto:
        """Return what has been written, without the weights that nobody uses any more."""
        used = {name for node in self._nodes for name in node.input}
        source = self._source
        weights = [t for t in (*source.initializer, *self._half_weights) if t.name in used]
        return helper.make_graph(self._nodes, source.name, source.input, source.output, weights)

    def _choose(self, node: NodeProto) -> int:
        """Return the type that ``node`` computes in."""
        types = {
            self._made_in[name]
            for name in node.input
            if name in self._made_in and name in self._floats
        }
        if not types:
            return _SINGLE  # constant: computed once, when building
        if node.op_type in _PRODUCTS:
            return _SINGLE if self._is_short_sum(node) else _HALF
        if node.op_type in _FOLLOWERS:
            return _HALF if _HALF in types else _SINGLE
        if node.op_type in _CAREFUL_FOLLOWERS:
            return _HALF if types == {_HALF} else _SINGLE
        return _SINGLE

    def _is_short_sum(self, node: NodeProto) -> bool:
        weight = self._weights.get(node.input[1])
        return (
            node.op_type == "Conv"
            and weight is not None
            and math.prod(weight.dims[1:]) < _SHORT_SUM
        )

    def _as(self, name: str, type_: int) -> str:
        """Return the name of a tensor in a type, casting it if nobody has done so before."""
        if name in self._weights:
            if type_ == _SINGLE:
                return name
            if (name, type_) not in self._names:
                self._names[name, type_] = name + _SUFFIX[type_]
                self._half_weights.append(_rounded(self._weights[name], name + _SUFFIX[type_]))
        elif name not in self._floats:
            return name
        elif (name, type_) not in self._names:
            other = _SINGLE if type_ == _HALF else _HALF
            self._names[name, type_] = name + _SUFFIX[type_]
            self._cast(self._names[name, other], name + _SUFFIX[type_], type_)
        return str(self._names[name, type_])

    def _cast(self, source: str, target: str, type_: int) -> None:
        node = helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=type_)
        self._nodes.append(node)


def _rounded(weight: TensorProto, name: str) -> TensorProto:
    """Return a weight as float16; what is finite, such as a mask's -1e9, stays finite."""
    values = numpy_helper.to_array(weight)
    finite = np.where(np.isinf(values), values, np.clip(values, -_LARGEST, _LARGEST))
    return numpy_helper.from_array(finite.astype(np.float16), name)
