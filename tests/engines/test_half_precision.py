from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper, parser

pytest.importorskip("onnxruntime", reason="pip install onnxruntime")

from lsm_engines import EngineError
from lsm_engines.export import onnx_file
from lsm_engines.half_precision import half_precision
from lsm_engines.plans import PlanStore
from lsm_monitor.model.graphs import head_graph
from lsm_monitor.model.lsm_adapter import LsmAdapter
from tests.engines.rounding import Array, run_rounded
from tests.unit.model.models import EVERYTHING, lively_model, noise

HALF, SINGLE = TensorProto.FLOAT16, TensorProto.FLOAT


def model_of(text: str, **weights: Array) -> ModelProto:
    """Parse ``graph (inputs) => (outputs) { nodes }`` in ONNX's text format."""
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def types(model: ModelProto) -> dict[str, int]:
    """Type of each tensor, by name."""
    graph = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        tensor.name: tensor.data_type for tensor in graph.initializer
    }


def made_in(model: ModelProto) -> dict[str, int]:
    """Type in which each node works, by its operator."""
    known = types(model)
    nodes = (node for node in model.graph.node if node.op_type != "Cast")
    return {node.op_type: known[node.output[0]] for node in nodes}


def matrix(*shape: int, scale: float = 0.1) -> Array:
    return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


ATTENTION = """
attention (float[N,8,64] x) => (float[N,8,64] y) {
  q = MatMul (x, wq)  k = MatMul (x, wk)  v = MatMul (x, wv)
  t = Transpose <perm = [0, 2, 1]> (k)
  s = MatMul (q, t)
  d = Div (s, root)
  p = Softmax <axis = -1> (d)
  y = MatMul (p, v)
}"""
NORM = """
norm (float[N,64,2,2] x) => (float[N,64,2,2] y) {
  c = Conv (x, w)
  u = ReduceMean <keepdims = 1> (c, axes)
  e = Sub (c, u)
  p = Pow (e, two)
  v = ReduceMean <keepdims = 1> (p, axes)
  r = Sqrt (v)
  y = Div (e, r)
}"""


def norm_model(scale: float) -> ModelProto:
    return model_of(
        NORM,
        w=matrix(64, 64, 1, 1, scale=scale),
        axes=np.array([1]),
        two=np.array(2, np.float32),
    )


def test_inputs_and_outputs_stay_as_they_are() -> None:
    model = model_of(
        ATTENTION,
        wq=matrix(64, 64),
        wk=matrix(64, 64),
        wv=matrix(64, 64),
        root=np.array(8, np.float32),
    )
    half = half_precision(model)
    assert list(half.graph.input) == list(model.graph.input)
    assert list(half.graph.output) == list(model.graph.output)


def test_an_attention_is_in_half_precision_from_end_to_end() -> None:
    weights = {"wq": matrix(64, 64), "wk": matrix(64, 64), "wv": matrix(64, 64)}
    half = half_precision(model_of(ATTENTION, **weights, root=np.array(8, np.float32)))
    # One cast at either end, none between: TensorRT fuses an attention as a whole or not.
    assert Counter(node.op_type for node in half.graph.node)["Cast"] == 2
    assert {t.data_type for t in half.graph.initializer} == {HALF}


def test_the_given_model_is_not_changed() -> None:
    model = norm_model(1.0)
    before = model.SerializeToString()
    half_precision(model)
    assert model.SerializeToString() == before


def test_products_run_in_half_precision_and_normalisations_in_single() -> None:
    made = made_in(half_precision(norm_model(1.0)))
    assert made.pop("Conv") == HALF
    assert made == dict.fromkeys(("ReduceMean", "Sub", "Pow", "Sqrt", "Div"), SINGLE)


def test_nothing_is_rounded_between_two_nodes_in_single_precision() -> None:
    model = norm_model(40.0)
    inputs = {"x": matrix(1, 64, 2, 2, scale=1.0)}
    wanted = run_rounded(model, inputs)
    assert wanted["p"].max() > 65504  # beyond half precision
    found = run_rounded(half_precision(model), inputs)
    np.testing.assert_allclose(found["y"], wanted["y"], atol=0.01)


def test_a_tensor_that_several_nodes_want_is_cast_once() -> None:
    half = half_precision(norm_model(1.0))  # c goes to a mean and to a difference
    outputs = [name for node in half.graph.node for name in node.output]
    assert len(outputs) == len(set(outputs))
    assert Counter(node.op_type for node in half.graph.node)["Cast"] == 2


@pytest.mark.parametrize(
    ("shape", "group", "expected"),
    [
        pytest.param((32, 3, 3, 3), 1, SINGLE, id="of-a-picture"),
        pytest.param((32, 1, 5, 5), 32, SINGLE, id="depthwise"),
        pytest.param((32, 8, 3, 3), 1, HALF, id="of-many-channels"),
        pytest.param((32, 64, 1, 1), 1, HALF, id="pointwise"),
    ],
)
def test_a_convolution_that_sums_few_terms_keeps_its_weights(
    shape: tuple[int, int, int, int], group: int, expected: int
) -> None:
    text = f"""g (float[N,{shape[1] * group},8,8] x) => (float[N,{shape[0]},H,W] y) {{
        a = Conv <group = {group}> (x, w)
        y = Relu (a)
    }}"""
    half = half_precision(model_of(text, w=matrix(*shape)))
    assert made_in(half) == {"Conv": expected, "Relu": expected}


@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_where_both_precisions_meet_the_result_is_in_half(operator: str) -> None:
    text = f"""g (float[N,64] x) => (float[N,64] y, float[N,1] m) {{
        a = MatMul (x, w)
        m = ReduceMean <keepdims = 1> (a, axes)
        y = {operator} (a, m)
    }}"""
    half = half_precision(model_of(text, w=matrix(64, 64), axes=np.array([1])))
    assert made_in(half)[operator] == HALF


def test_what_is_constant_is_computed_in_single_precision() -> None:
    text = """g (float[N,64] x) => (float[N,64] y) {
        t = Mul (table, third)
        d = MatMul (t, t)
        a = MatMul (x, d)
        y = Add (a, x)
    }"""
    table, third = matrix(64, 64), np.array(1 / 3, np.float32)
    half = half_precision(model_of(text, table=table, third=third))
    known = types(half)
    assert known["t"] == known["d"] == SINGLE
    assert known["a"] == HALF


def test_a_weight_that_both_precisions_use_is_there_in_both() -> None:
    text = """g (float[N,64] x) => (float[N,64] y, float[N,64] z) {
        a = MatMul (x, w)
        y = Add (a, shift)
        z = Pow (x, shift)
    }"""
    half = half_precision(model_of(text, w=matrix(64, 64), shift=np.array([2.0], np.float32)))
    kinds = Counter(tensor.data_type for tensor in half.graph.initializer)
    assert kinds == {HALF: 2, SINGLE: 1}


def test_an_output_that_is_also_used_inside_is_not_cast_back() -> None:
    text = """g (float[N,64] x) => (float[N,64] y, float[N,64] z) {
        y = MatMul (x, w)
        z = MatMul (y, w)
    }"""
    half = half_precision(model_of(text, w=matrix(64, 64)))
    products = [node for node in half.graph.node if node.op_type == "MatMul"]
    assert products[1].input[0] == products[0].output[0]
    assert types(half)["y"] == types(half)["z"] == SINGLE


def test_the_factors_of_a_resize_stay_in_single_precision() -> None:
    text = """g (float[N,64,4,4] x) => (float[N,64,8,8] y) {
        a = Conv (x, w)
        y = Resize <mode = "linear"> (a, , factors)
    }"""
    factors = np.array([1, 1, 2, 2], np.float32)
    half = half_precision(model_of(text, w=matrix(64, 64, 1, 1), factors=factors))
    assert types(half)["factors"] == SINGLE
    run_rounded(half, {"x": matrix(1, 64, 4, 4)})


def test_a_mask_does_not_become_infinite() -> None:
    text = """g (float[N,64] x) => (float[N,64] y) {
        a = MatMul (x, w)
        b = Add (a, mask)
        y = Softmax (b)
    }"""
    mask = np.full(64, -1e9, np.float32)
    half = half_precision(model_of(text, w=matrix(64, 64), mask=mask))
    found = run_rounded(half, {"x": matrix(1, 64)})["y"]
    assert np.isfinite(found).all()


def test_what_is_infinite_stays_so() -> None:
    text = """g (float[N,64] x) => (float[N,64] y) {
        a = MatMul (x, w)
        y = Clip (a, , most)
    }"""
    half = half_precision(model_of(text, w=matrix(64, 64), most=np.array(np.inf, np.float32)))
    kept = {t.name: numpy_helper.to_array(t) for t in half.graph.initializer}
    assert np.isinf(kept["most/half"])


def test_a_model_that_branches_is_refused() -> None:
    text = """g (float[N,64] x, bool c) => (float[N,64] y) {
        y = If (c) <
            then_branch = t () => (float[N,64] a) { a = Relu (x) },
            else_branch = e () => (float[N,64] b) { b = Neg (x) }
        >
    }"""
    with pytest.raises(
        EngineError, match=r"If .*cannot be brought to fp16; use precision fp32"
    ):
        half_precision(model_of(text))


@pytest.fixture(scope="module")
def lively() -> LsmAdapter:
    return lively_model(EVERYTHING)


@pytest.mark.slow
@pytest.mark.timeout(300)  # exports the head: half a minute on two cores
def test_the_whole_head_stays_near_single_precision(
    lively: LsmAdapter, plans: PlanStore
) -> None:
    graph = head_graph(lively)
    assert graph is not None
    model = onnx.load_model(onnx_file(graph, plans))
    images, frequencies = noise(2), noise(2, seed=3)
    tensors = {"images": images, "amplitude": lively.amplitude(images)}
    maps = lively.encoder(images, frequencies)
    tensors |= {f"map_{index}": map_ for index, map_ in enumerate(maps)}
    inputs = {name: tensors[name].detach().numpy() for name in graph.inputs}
    wanted = run_rounded(model, inputs)["logits"].astype(np.float32)
    found = run_rounded(half_precision(model), inputs)["logits"].astype(np.float32)
    error = np.abs(found - wanted) / wanted.std()
    assert 0 < error.mean() < 2e-3
