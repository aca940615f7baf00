"""TensorRT and TensorRT for RTX on a GPU: what an engine promises, and what only they do."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from lsm_engines import Engine, EngineError, EngineRequest, Graph, build_engine
from lsm_engines.api import Precision
from lsm_engines.parity import compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_engines.registry import BACKENDS
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.he_adapt import flat_weights
from lsm_monitor.model.lsm_adapter import LsmAdapter
from tests.engines.small_graphs import (
    MAX_BATCH,
    PICTURE,
    WEIGHTS,
    mixer_graph,
    mixer_inputs,
)
from tests.unit.model.models import EVERYTHING, lively_model, noise, shrink_sam

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]


@dataclass(frozen=True, slots=True)
class Compiler:
    """One of the two libraries with its arithmetic."""

    library: str
    precision: Precision

    def build(self, graph: Graph, plans: PlanStore) -> Engine:
        if importlib.util.find_spec(self.library) is None:
            pytest.skip(f"run: {BACKENDS[self.library].install}")
        request = EngineRequest("cuda", max_batch=MAX_BATCH, precision=self.precision)
        return build_engine(self.library, graph, request, plans)


@pytest.fixture(
    scope="module",
    params=[
        Compiler("tensorrt", "fp32"),
        Compiler("tensorrt", "fp16"),
        Compiler("tensorrt_rtx", "fp32"),
        Compiler("tensorrt_rtx", "fp16"),
    ],
    ids=lambda compiler: f"{compiler.library}-{compiler.precision}",
)
def compiler(request: pytest.FixtureRequest) -> Compiler:
    compiler: Compiler = request.param
    return compiler


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def engine(compiler: Compiler, folder: Path) -> Engine:
    return compiler.build(mixer_graph(), PlanStore(folder))


def plan_of(compiler: Compiler, folder: Path) -> Path:
    """The plan that was built last."""
    plans = folder.glob(f"mixer-{compiler.library}-*/plan")
    return max(plans, key=lambda path: path.stat().st_mtime_ns)


def fault(
    engine: Engine, inputs: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]
) -> str | None:
    errors = compare(tuple(engine.spec.outputs), engine.run(*inputs), wanted)
    return find_fault(errors, engine.spec.precision)


@pytest.mark.parametrize("batch", range(1, MAX_BATCH + 1))
def test_an_engine_gives_what_the_module_gives(engine: Engine, batch: int) -> None:
    inputs = mixer_inputs(batch)
    with torch.inference_mode():
        wanted = mixer_graph().module(*inputs)
    assert fault(engine, inputs, wanted) is None


def test_inputs_may_be_anywhere_and_in_any_layout(engine: Engine) -> None:
    images, weights = mixer_inputs(2)
    wanted = engine.run(images, weights)
    strided = images.cuda().contiguous(memory_format=torch.channels_last)
    for found, one in zip(engine.run(strided, weights.cuda()), wanted, strict=True):
        torch.testing.assert_close(found, one)


def test_outputs_are_the_callers(engine: Engine) -> None:
    first = engine.run(*mixer_inputs(2))
    before = [output.clone() for output in first]
    engine.run(*mixer_inputs(2, seed=1))
    for kept, copy in zip(first, before, strict=True):
        assert torch.equal(kept, copy)
        assert (kept.device.type, kept.dtype) == ("cuda", torch.float32)


def test_what_is_still_computed_on_another_stream_is_waited_for(engine: Engine) -> None:
    images, weights = mixer_inputs(2)
    wanted = engine.run(images, weights)
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]  # torch's stubs
        busy = torch.rand(4096, 4096, device="cuda")
        for _ in range(20):
            busy = busy @ busy / 2048
        late = images.cuda() + 0 * busy[:1, :1].view(1, 1, 1, 1)
        outputs = engine.run(late, weights)
        for found, one in zip(outputs, wanted, strict=True):
            torch.testing.assert_close(found, one)


def test_the_spec_says_what_runs(engine: Engine, compiler: Compiler) -> None:
    spec = engine.spec
    assert (spec.graph, spec.backend, spec.device) == ("mixer", compiler.library, "cuda")
    assert spec.precision == compiler.precision
    assert spec.inputs == {"images": PICTURE, "weights": WEIGHTS}
    assert spec.outputs == {"fine": (8, 8, 8), "coarse": (8,)}


def test_a_batch_that_is_too_large_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match=r"^mixer: a batch holds 1 to 3, got 4"):
        engine.run(*mixer_inputs(MAX_BATCH + 1))


def test_a_closed_engine_says_so_and_may_be_closed_again(
    compiler: Compiler, folder: Path
) -> None:
    engine = compiler.build(mixer_graph(), PlanStore(folder))
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(*mixer_inputs(1))


def test_a_second_start_builds_nothing(compiler: Compiler, tmp_path: Path) -> None:
    compiler.build(mixer_graph(), PlanStore(tmp_path)).close()
    plan = plan_of(compiler, tmp_path)
    before = plan.stat()
    engine = compiler.build(mixer_graph(), PlanStore(tmp_path))
    assert plan.stat().st_ino == before.st_ino
    engine.run(*mixer_inputs(1))


def test_kernels_made_while_running_are_kept_beside_the_plan(
    compiler: Compiler, tmp_path: Path
) -> None:
    compiler.build(mixer_graph(), PlanStore(tmp_path)).close()
    kernels = plan_of(compiler, tmp_path).with_name("kernels")
    assert kernels.is_file() == (compiler.library == "tensorrt_rtx")


@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_damaged_kernels_are_made_anew(
    compiler: Compiler, tmp_path: Path, content: bytes
) -> None:
    compiler.build(mixer_graph(), PlanStore(tmp_path)).close()
    kernels = plan_of(compiler, tmp_path).with_name("kernels")
    kernels.write_bytes(content)
    engine = compiler.build(mixer_graph(), PlanStore(tmp_path))
    engine.run(*mixer_inputs(1))


def test_a_plan_that_the_library_does_not_load_is_built_anew(
    compiler: Compiler,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "lsm_engines.tensorrt_plan.build_plan",
            lambda _library, _onnx, target, **_: target.write_bytes(b"not a plan"),
        )
        with pytest.raises(EngineError, match="which it has just built"):
            compiler.build(mixer_graph(), PlanStore(tmp_path))
    engine = compiler.build(mixer_graph(), PlanStore(tmp_path))
    engine.run(*mixer_inputs(1))
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("it is built anew" in text for text in warnings)


@pytest.fixture(scope="module", params=["efficientnet_lite0", "sam_vit_b"])
def model(request: pytest.FixtureRequest) -> LsmAdapter:
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        return lively_model(EVERYTHING.model_copy(update={"image_encoder": request.param}))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_model_agrees_with_pytorch(
    compiler: Compiler, model: LsmAdapter, folder: Path
) -> None:
    images, frequencies = noise(2), noise(2, seed=3).abs()
    assert model.encoder.adapter is not None
    adapter = flat_weights(model.encoder.adapter).detach().repeat(2, 1)
    head = head_graph(model)
    assert head is not None
    with torch.inference_mode():
        maps = model.encoder(images, frequencies)
        logits = model.head(images, model.amplitude(images), maps).logits
        amplitude = model.amplitude(images)
    encoder_engine = compiler.build(encoder_graph(model), PlanStore(folder))
    assert fault(encoder_engine, (images, frequencies, adapter), maps) is None
    head_engine = compiler.build(head, PlanStore(folder))
    assert fault(head_engine, (images, amplitude, *maps), (logits,)) is None
