"""Frozen stages and the matchers between them, each compiled by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
import torch

from lsm_engines import Engine, EngineRequest, Graph, build_engine
from lsm_engines.contest import Probes
from lsm_engines.export import onnx_file
from lsm_engines.parity import compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_monitor.inference.engines import ModelGraphs, build_engines
from lsm_monitor.model import build
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.stage_graphs import stage_graphs
from tests.unit.model.models import EVERYTHING, lively_model, noise
from tests.unit.model.test_prompt_matcher import TWO_STAGES, adapter_of, matched, teach


def taught(encoder: str, seed: int) -> LsmAdapter:
    """Return a model whose encoder is always the same, and whose matchers are the seed's."""
    model = matched(encoder, prompted_stages=[1, 3], recurrences=2)
    lively = EVERYTHING.model_copy(update={"image_encoder": encoder})
    frozen = lively_model(lively).encoder.image_encoder.state_dict()
    model.encoder.image_encoder.load_state_dict(frozen)
    torch.manual_seed(seed)
    teach(adapter_of(model), std=0.05)
    adapter_of(model).frequencies.copy_(torch.tensor([0.5 + 0.1 * seed, 0.5 - 0.1 * seed]))
    return model


@pytest.fixture(scope="module", params=["efficientnet_lite0", "sam_vit_b"], ids=["cnn", "vit"])
def models(request: pytest.FixtureRequest) -> Iterator[tuple[LsmAdapter, LsmAdapter]]:
    """Two models that differ in their matchers alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "VIT_SIZES", dict.fromkeys("blh", TWO_STAGES))
        yield taught(request.param, 1), taught(request.param, 2)


def stage_prints(model: LsmAdapter) -> list[str]:
    graphs = stage_graphs(model)
    assert graphs is not None
    return [graph.fingerprint for graph in graphs.stages]


def test_the_stages_of_two_adapters_are_the_same_and_the_matchers_are_not(
    models: tuple[LsmAdapter, LsmAdapter],
) -> None:
    one, other = (stage_graphs(model) for model in models)
    assert one is not None
    assert other is not None
    assert [each.fingerprint for each in one.stages] == stage_prints(models[1])
    assert len({each.fingerprint for each in one.stages}) == len(one.stages)
    assert [*one.matchers] == [*other.matchers] == [1, 3]
    for number, matcher in one.matchers.items():
        assert matcher.fingerprint != other.matchers[number].fingerprint


def test_other_prompted_stages_and_recurrences_leave_the_stages_alone() -> None:
    few = matched("efficientnet_lite0", prompted_stages=[2], recurrences=1, channels=128)
    assert stage_prints(few) == stage_prints(matched("efficientnet_lite0"))


def test_a_stage_that_learned_is_another_stage_and_the_others_are_not() -> None:
    model = matched("efficientnet_lite0")
    before = stage_prints(model)
    model.state_dict()["encoder.image_encoder.stages.2.0.expand.1.running_mean"] += 1e-3
    changed = [old != new for old, new in zip(before, stage_prints(model), strict=True)]
    assert changed == [False, False, True, False, False]


def exactly(
    backend: str,
    graph: Graph,
    request: EngineRequest,
    plans: PlanStore,
    probes: Probes | None = None,
) -> Engine:
    """Build what is asked for; what it would be tried with must fit."""
    assert probes is not None
    shapes = [tuple(each.shape[1:]) for each in probes()]
    assert shapes == [*graph.inputs.values()]
    return build_engine(backend, graph, request, plans)


def staged(model: LsmAdapter, backend: str, plans: PlanStore, max_batch: int) -> Engine:
    """Return the encoder in stages; the head is another test's."""
    graphs = dataclasses.replace(ModelGraphs.of(model), head=None)
    request = EngineRequest("cpu", max_batch=max_batch, precision="fp32")
    return build_engines(graphs, exactly, backend=backend, request=request, plans=plans).encoder


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_the_staged_encoder_says_what_pytorch_says_about_each_picture(
    backend: str, models: tuple[LsmAdapter, LsmAdapter], plans: PlanStore
) -> None:
    if backend != "torch":
        pytest.importorskip(backend)
    model, images = models[0], noise(2)
    engine = staged(model, backend, plans, max_batch=2)
    with torch.inference_mode():
        wanted = model.encoder(images, images)
        plain = model.encoder.image_encoder(images)
    names = tuple(f"map_{index}" for index in range(len(wanted)))
    assert engine.spec.outputs == {
        name: tuple(map_.shape[1:]) for name, map_ in zip(names, wanted, strict=True)
    }
    assert (engine.spec.backend, engine.spec.graph) == (backend, "encoder")
    for batch in (images, images[:1]):
        found = engine.run(batch)
        errors = compare(names, found, [map_[: len(batch)] for map_ in wanted])
        assert find_fault(errors, "fp32") is None
    errors = compare(names, engine.run(images), plain)
    assert find_fault(errors, "fp32") is not None  # the matchers do something
    with pytest.raises(ValueError, match="a batch holds 1 to 2, got 3"):
        engine.run(noise(3))
    engine.close()


@pytest.mark.slow
def test_another_adapter_finds_the_plans_of_all_stages_there(
    models: tuple[LsmAdapter, LsmAdapter], plans: PlanStore
) -> None:
    pytest.importorskip("onnxruntime")
    one, other = (staged(model, "onnxruntime", plans, max_batch=2) for model in models)
    graphs = [stage_graphs(model) for model in models]
    assert graphs[0] is not None
    assert graphs[1] is not None
    files = [onnx_file(graph, plans) for graph in graphs[0].stages]
    built_ns = [file.stat().st_mtime_ns for file in files]
    newest = min(onnx_file(m, plans).stat().st_mtime_ns for m in graphs[1].matchers.values())
    assert [onnx_file(graph, plans) for graph in graphs[1].stages] == files
    assert [file.stat().st_mtime_ns for file in files] == built_ns
    assert max(built_ns) < newest  # no stage was built for the other's sake
    images = noise(2)
    assert not any(
        torch.allclose(a, b) for a, b in zip(one.run(images), other.run(images), strict=True)
    )
    one.close()
    other.close()
