"""What :class:`lsm_engines.Engine` promises, for every backend that runs on a CPU."""

from __future__ import annotations

import pytest
import torch

from lsm_engines import Engine, EngineError, Graph
from lsm_engines.plans import PlanStore
from tests.engines.small_graphs import (
    MAX_BATCH,
    PICTURE,
    RUNTIMES,
    WEIGHTS,
    Runtime,
    mixer_graph,
    mixer_inputs,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return mixer_graph()


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    runtime: Runtime = request.param
    return runtime


@pytest.fixture(scope="module")
def engine(runtime: Runtime, graph: Graph, plans: PlanStore) -> Engine:
    return runtime.build(graph, plans)


@pytest.mark.parametrize("batch", range(1, MAX_BATCH + 1))
def test_an_engine_gives_what_the_module_gives(
    engine: Engine, graph: Graph, batch: int
) -> None:
    inputs = mixer_inputs(batch)
    with torch.inference_mode():
        expected = graph.module(*inputs)
    # Sums of 27 products: float32 rounds each to 6e-8, bfloat16 to 4e-3.
    tolerance = 1e-5 if engine.spec.precision == "fp32" else 0.03
    for found, wanted in zip(engine.run(*inputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_the_spec_says_what_runs(engine: Engine, runtime: Runtime) -> None:
    spec = engine.spec
    assert (spec.graph, spec.backend, spec.device) == ("mixer", runtime.backend, "cpu")
    assert spec.precision == runtime.precision
    assert spec.inputs == {"images": PICTURE, "weights": WEIGHTS}
    assert spec.outputs == {"fine": (8, 8, 8), "coarse": (8,)}
    assert spec.max_batch == MAX_BATCH


def test_outputs_are_float32_and_contiguous(engine: Engine) -> None:
    for output in engine.run(*mixer_inputs(2)):
        assert output.dtype == torch.float32
        assert output.is_contiguous()


def test_later_calls_do_not_overwrite_earlier_outputs(engine: Engine) -> None:
    first = engine.run(*mixer_inputs(2))
    before = [output.clone() for output in first]
    later = engine.run(*mixer_inputs(2, seed=1))
    for kept, copy, other in zip(first, before, later, strict=True):
        assert torch.equal(kept, copy)
        assert not torch.equal(kept, other)


def test_inputs_are_not_changed(engine: Engine) -> None:
    inputs = mixer_inputs(2)
    before = [tensor.clone() for tensor in inputs]
    engine.run(*inputs)
    for tensor, copy in zip(inputs, before, strict=True):
        assert torch.equal(tensor, copy)


def test_the_layout_in_memory_does_not_matter(engine: Engine) -> None:
    images, weights = mixer_inputs(2)
    expected = engine.run(images, weights)
    strided = weights.T.contiguous().T
    found = engine.run(images.contiguous(memory_format=torch.channels_last), strided)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_parameters_are_taken_as_inputs(engine: Engine) -> None:
    images, weights = mixer_inputs(1)
    outputs = engine.run(images, torch.nn.Parameter(weights))
    assert not any(output.requires_grad for output in outputs)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(torch.zeros(MAX_BATCH + 1, *PICTURE), id="more-than-max-batch"),
        pytest.param(torch.zeros(0, *PICTURE), id="empty-batch"),
        pytest.param(torch.zeros(2, *PICTURE), id="batches-differ"),
        pytest.param(torch.zeros(1, 3, 16, 8), id="not-square"),
        pytest.param(torch.zeros(1, *PICTURE).double(), id="float64"),
        pytest.param(torch.tensor(0.0), id="scalar"),
    ],
)
def test_a_batch_the_spec_does_not_allow_is_refused(
    engine: Engine, wrong: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=r"^mixer: "):
        engine.run(wrong, torch.zeros(1, *WEIGHTS))


def test_a_missing_input_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="mixer: takes images, weights, got 1 tensors"):
        engine.run(torch.zeros(1, *PICTURE))


def test_what_the_runtime_cannot_do_is_an_engine_error(
    engine: Engine, runtime: Runtime
) -> None:
    absent = torch.empty(1, *WEIGHTS, device="meta")  # has no values
    with pytest.raises(EngineError, match=f"^{runtime.backend}"):
        engine.run(torch.zeros(1, *PICTURE), absent)


def test_a_closed_engine_says_so_and_may_be_closed_again(
    runtime: Runtime, graph: Graph, plans: PlanStore
) -> None:
    engine = runtime.build(graph, plans)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(*mixer_inputs(1))


@pytest.mark.parametrize("threads", [0, 2])
def test_any_number_of_threads_gives_the_same(
    runtime: Runtime, graph: Graph, plans: PlanStore, engine: Engine, threads: int
) -> None:
    before = torch.get_num_threads()
    try:
        found = runtime.build(graph, plans, threads=threads).run(*mixer_inputs(2))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(found, engine.run(*mixer_inputs(2)), strict=True):
        torch.testing.assert_close(one, other)
