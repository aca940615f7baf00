"""Plans of TensorRT for RTX, which builds them without a GPU."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import pytest
import torch
from onnx import parser

from lsm_engines import EngineError, EngineRequest, Graph, build_engine
from lsm_engines.api import Precision
from lsm_engines.export import onnx_file
from lsm_engines.plans import PlanStore
from lsm_engines.tensorrt_build import _config, _network_flags, _profile, build_plan
from lsm_engines.tensorrt_library import Library, load_library
from lsm_engines.tensorrt_plan import Plan
from lsm_monitor.model.graphs import encoder_graph, head_graph
from tests.engines.small_graphs import MAX_BATCH, mixer_graph
from tests.unit.model.models import EVERYTHING, lively_model, shrink_sam

NAME = "tensorrt_rtx"
pytest.importorskip(NAME, reason="pip install 'lsm-monitor[rtx]'")

WORKSPACE_BYTES = 1 << 30
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@pytest.fixture(scope="module")
def library() -> Library:
    return load_library(NAME)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return mixer_graph()


def small_graph(name: str) -> Graph:
    """One of the real graphs, of a small model."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        if name == "head":
            graph = head_graph(lively_model(EVERYTHING))
            assert graph is not None
            return graph
        parts = EVERYTHING.model_copy(update={"image_encoder": name})
        return encoder_graph(lively_model(parts))


def build(library: Library, onnx_path: Path, folder: Path, precision: Precision) -> bytes:
    path = folder / f"plan-{precision}"
    build_plan(
        library,
        onnx_path,
        path,
        precision=precision,
        max_batch=MAX_BATCH,
        workspace_bytes=WORKSPACE_BYTES,
    )
    return path.read_bytes()


def onnx_of(folder: Path, text: str) -> Path:
    path = folder / "graph.onnx"
    header = '<ir_version: 10, opset_import: ["" : 20, "strange" : 1]>'
    onnx.save_model(parser.parse_model(f"{header}\n{text}"), path)
    return path


def is_plan(library: Library, content: bytes) -> bool:
    """Say whether the library takes it for a plan of its own; it does so without a GPU too."""
    _, faults = library.create("Runtime").get_engine_validity(content)
    malformed = library.module.EngineInvalidityDiagnostics.MALFORMED_ENGINE
    return not faults & int(malformed)


@pytest.mark.slow
@pytest.mark.timeout(300)  # exports a graph: half a minute on two cores
@pytest.mark.parametrize("name", ["efficientnet_lite0", "sam_vit_b", "head"])
def test_every_graph_becomes_a_plan_in_either_precision(
    library: Library, plans: PlanStore, tmp_path: Path, name: str
) -> None:
    graph = small_graph(name)
    path = onnx_file(graph, plans)
    single, half = (build(library, path, tmp_path, each) for each in ("fp32", "fp16"))
    assert not is_plan(library, bytes(len(half)))
    for plan in (single, half):
        assert is_plan(library, plan)
        for tensor in (*graph.inputs, *graph.outputs):
            assert tensor.encode() in plan
    assert len(half) < 0.8 * len(single)


@pytest.mark.parametrize(
    ("max_batch", "batches"), [(1, (1, 1, 1)), (2, (1, 1, 2)), (3, (1, 2, 3)), (8, (1, 4, 8))]
)
def test_a_plan_takes_one_to_max_batch_and_is_tuned_for_the_half(
    library: Library,
    graph: Graph,
    plans: PlanStore,
    max_batch: int,
    batches: tuple[int, int, int],
) -> None:
    builder = library.create("Builder")
    network = builder.create_network(_network_flags(library.module))
    onnx_parser = library.module.OnnxParser(network, library.log)
    assert onnx_parser.parse_from_file(str(onnx_file(graph, plans)))
    profile = _profile(builder, network, max_batch)
    for name, shape in graph.inputs.items():
        found = [tuple(each) for each in profile.get_shape(name)]
        assert found == [(batch, *shape) for batch in batches]


def test_networks_are_strongly_typed_and_float32_is_not_tf32(library: Library) -> None:
    builder, trt = library.create("Builder"), library.module
    network = builder.create_network(_network_flags(trt))
    assert network.get_flag(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    config = _config(trt, builder, WORKSPACE_BYTES)
    assert not config.get_flag(trt.BuilderFlag.TF32)
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == WORKSPACE_BYTES


def test_all_that_the_library_does_not_know_is_told_at_once(
    library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = onnx_of(
        tmp_path,
        """g (float[N,4,8,8] x) => (float[N,4,8,8] y) {
            [first] a = Det (x)
            [second] b = strange.Wonder (x)
            y = Add (x, b)
        }""",
    )
    with pytest.raises(EngineError) as caught, caplog.at_level(logging.ERROR):
        build(library, path, tmp_path, "fp32")
    text = str(caught.value)
    assert text.startswith(f"{NAME} {library.version} cannot parse the graph: Det 'first': ")
    assert "Wonder 'second': " in text
    assert text.endswith("use the backend onnxruntime or torch")
    assert "While parsing node number 1" in caplog.text


def test_a_file_that_is_no_model_is_told(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"cannot parse the graph: .*DESERIALIZE_FAILED"):
        build(library, path, tmp_path, "fp32")


def test_a_fixed_batch_is_refused(library: Library, tmp_path: Path) -> None:
    path = onnx_of(tmp_path, "g (float[2,4] x) => (float[2,4] y) { y = Relu (x) }")
    with pytest.raises(EngineError, match="input 'x' of the ONNX file has a fixed batch of 2"):
        build(library, path, tmp_path, "fp32")


@no_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", None])
def test_without_a_gpu_the_plan_is_built_and_the_lack_is_told(
    graph: Graph, tmp_path: Path, precision: Precision | None
) -> None:
    request = EngineRequest(max_batch=MAX_BATCH, precision=precision)
    with pytest.raises(EngineError, match="PyTorch finds no CUDA device") as caught:
        build_engine(NAME, graph, request, PlanStore(tmp_path))
    (plan,) = tmp_path.glob(f"{graph.name}-{NAME}-*/plan")
    assert str(plan) in str(caught.value)
    assert is_plan(load_library(NAME), plan.read_bytes())


@no_gpu
def test_half_precision_is_what_a_gpu_gets_unless_it_asks_for_another(
    graph: Graph, tmp_path: Path
) -> None:
    def plans_after(precision: Precision | None) -> set[Path]:
        request = EngineRequest(max_batch=MAX_BATCH, precision=precision)
        with pytest.raises(EngineError, match="no CUDA device"):
            build_engine(NAME, graph, request, PlanStore(tmp_path))
        return set(tmp_path.glob(f"*-{NAME}-*/plan"))

    assert len(plans_after(None)) == 1
    assert len(plans_after("fp16")) == 1
    assert len(plans_after("fp32")) == 2


@no_gpu
def test_a_plan_that_does_not_load_is_built_anew_once_and_then_given_up(
    library: Library, graph: Graph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = PlanStore(tmp_path)
    path = Plan(library, graph, store, "fp32", MAX_BATCH).obtain()
    keep = tmp_path / "kept"
    keep.hardlink_to(path)  # or the new file may get the old one's inode
    runtime = library.create("Runtime")
    with pytest.raises(EngineError, match="which it has just built") as caught:
        Plan(library, graph, store, "fp32", MAX_BATCH).load(runtime)
    assert not path.samefile(keep)
    assert "CUDA driver" in str(caught.value)  # the library's own words
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len([text for text in warnings if f"cannot load {path}" in text]) == 1


@no_gpu
def test_a_new_plan_that_does_not_load_is_not_built_again(
    library: Library, graph: Graph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = library.create("Runtime")
    with pytest.raises(EngineError, match="which it has just built"):
        Plan(library, graph, PlanStore(tmp_path), "fp32", MAX_BATCH).load(runtime)
    assert "it is built anew" not in caplog.text


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EngineRequest(precision="bf16"), "tensorrt_rtx has no bf16 here; use fp32 or fp16"),
        (EngineRequest(device="cpu"), "tensorrt_rtx does not run on 'cpu'; use 'cuda'"),
    ],
    ids=["bf16", "cpu"],
)
def test_what_is_not_there_is_refused_before_anything_is_built(
    graph: Graph, tmp_path: Path, request_: EngineRequest, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        build_engine(NAME, graph, request_, PlanStore(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_library_that_does_not_import_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="tensorrt_lean cannot be imported"):
        load_library("tensorrt_lean")
