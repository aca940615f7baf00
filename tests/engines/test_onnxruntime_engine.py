from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lsm_engines import EngineError, EngineRequest, build_engine
from lsm_engines.onnxruntime_engine import OnnxRuntimeEngine
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import MAX_BATCH, OneFile, mixer_graph, mixer_inputs


def test_threads_that_wait_do_not_spin(plans: PlanStore) -> None:
    engine = build_engine("onnxruntime", mixer_graph(), EngineRequest("cpu", 2), plans)
    assert isinstance(engine, OnnxRuntimeEngine)
    assert engine._session is not None
    options = engine._session.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_file_that_is_no_model_is_an_engine_error(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text("not a model")
    with pytest.raises(EngineError, match="onnxruntime cannot load graph 'mixer' on cpu: "):
        build_engine("onnxruntime", mixer_graph(), EngineRequest("cpu"), OneFile(path))


def test_an_unknown_device_is_refused(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="unknown device 'tpu'; use auto, cpu or cuda"):
        build_engine("onnxruntime", mixer_graph(), EngineRequest("tpu"), plans)


def test_other_arithmetic_is_refused(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="onnxruntime has no bf16 here"):
        build_engine(
            "onnxruntime", mixer_graph(), EngineRequest("cpu", precision="bf16"), plans
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_cuda_says_what_to_install(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="no 'cuda' here; install onnxruntime-gpu"):
        build_engine("onnxruntime", mixer_graph(), EngineRequest("cuda"), plans)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_tensors_are_read_and_written_where_they_are(plans: PlanStore) -> None:
    pytest.importorskip("onnxruntime")
    graph = mixer_graph()
    request = EngineRequest("cuda", max_batch=MAX_BATCH)
    engine = build_engine("onnxruntime", graph, request, plans)
    inputs = mixer_inputs(2)
    with torch.inference_mode():
        expected = graph.module(*inputs)
    for found, wanted in zip(engine.run(*(x.cuda() for x in inputs)), expected, strict=True):
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-3)  # TensorFloat-32


def test_onnxruntime_does_not_report_to_its_maker(tmp_path: Path) -> None:
    code = "import lsm_engines.onnxruntime_engine"
    environ = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": "engines"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=environ)  # noqa: S603
    assert not list(tmp_path.rglob("*onnxruntime*"))
