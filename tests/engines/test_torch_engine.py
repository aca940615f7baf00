from __future__ import annotations

import dataclasses

import pytest
import torch

from lsm_engines import EngineError, EngineRequest, build_engine
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import MAX_BATCH, mixer_graph, mixer_inputs

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_the_fastest_device_and_single_precision_are_the_cpus_defaults(
    plans: PlanStore,
) -> None:
    spec = build_engine("torch", mixer_graph(), EngineRequest(), plans).spec
    expected = ("cuda", "bf16") if torch.cuda.is_available() else ("cpu", "fp32")
    assert (spec.device, spec.precision) == expected


def test_nothing_is_kept_in_the_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    build_engine("torch", mixer_graph(), EngineRequest("cpu"), PlanStore(folder))
    assert not [*folder.iterdir()]


def test_the_threads_are_those_of_the_process(plans: PlanStore) -> None:
    before = torch.get_num_threads()
    try:
        build_engine("torch", mixer_graph(), EngineRequest("cpu", threads=before + 1), plans)
        assert torch.get_num_threads() == before + 1
        build_engine("torch", mixer_graph(), EngineRequest("cpu", threads=0), plans)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_an_unknown_device_is_refused(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="unknown device 'tpu'; use auto, cpu or cuda"):
        build_engine("torch", mixer_graph(), EngineRequest("tpu"), plans)


def test_other_arithmetic_is_refused(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="torch has no fp16 here"):
        build_engine("torch", mixer_graph(), EngineRequest("cpu", precision="fp16"), plans)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_cuda_says_what_to_use(plans: PlanStore) -> None:
    with pytest.raises(EngineError, match="'cuda' is not available here; use 'auto' or 'cpu'"):
        build_engine("torch", mixer_graph(), EngineRequest("cuda"), plans)


def test_a_module_that_fails_at_once_is_an_engine_error(plans: PlanStore) -> None:
    wrong = {"images": (4, 16, 16), "weights": (8,)}
    graph = dataclasses.replace(mixer_graph(), inputs=wrong)
    with pytest.raises(EngineError, match="torch engine on cpu: "):
        build_engine("torch", graph, EngineRequest("cpu"), plans)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_captured_kernels_give_what_the_module_gives(plans: PlanStore, precision: str) -> None:
    graph = mixer_graph()
    request = EngineRequest("cuda", 0, MAX_BATCH, precision)  # type: ignore[arg-type]  # as above
    engine = build_engine("torch", graph, request, plans)
    tolerance = 1e-3 if precision == "fp32" else 0.03  # TensorFloat-32 has 10 bits, bfloat16 7
    kept: list[tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]] = []
    for batch in (1, 3, 2, 3):  # the last one is replayed, not captured
        inputs = mixer_inputs(batch, seed=len(kept))
        with torch.inference_mode():
            expected = graph.module(*inputs)
        kept.append((engine.run(*inputs), expected))
    for found, expected in kept:  # after all calls: none has overwritten another's
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=tolerance, atol=tolerance)
