"""Every backend that runs here agrees with PyTorch on the model's own graphs."""

from __future__ import annotations

import pytest
import torch

from lsm_engines import Engine, Graph
from lsm_engines.parity import TOLERANCES, Tolerance, compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.he_adapt import flat_weights
from lsm_monitor.model.lsm_adapter import LsmAdapter
from tests.engines.small_graphs import MAX_BATCH, RUNTIMES, Runtime
from tests.unit.model.models import EVERYTHING, lively_model, noise, shrink_sam

# Random weights, unlike trained ones, make roundings larger from layer to layer: PyTorch's own
# bfloat16 is 0.11 off. Two inputs mixed up, or an adapter forgotten, give more than 0.5.
ALLOWED = {**TOLERANCES, "bf16": Tolerance(mean_relative=0.2)}
pytestmark = pytest.mark.slow  # each graph is exported once: 5 s of computing for all tests


@pytest.fixture(scope="module", params=["cnn-encoder", "cnn-head", "vit-encoder"])
def case(request: pytest.FixtureRequest) -> tuple[Graph, tuple[torch.Tensor, ...]]:
    """A graph, and a batch in which all pictures differ, as do their adapters."""
    name: str = request.param
    encoder = "sam_vit_b" if name == "vit-encoder" else "efficientnet_lite0"
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        model = lively_model(EVERYTHING.model_copy(update={"image_encoder": encoder}))
    graph = head_graph(model) if name == "cnn-head" else encoder_graph(model)
    assert graph is not None
    tensors = everything(model)
    return graph, tuple(tensors[name] for name in graph.inputs)


def everything(model: LsmAdapter) -> dict[str, torch.Tensor]:
    """Return all that a graph may want to see, by name."""
    assert model.encoder.adapter is not None
    images, frequencies = noise(MAX_BATCH), model.frequencies(noise(MAX_BATCH, seed=3))
    weights = flat_weights(model.encoder.adapter).detach()
    factors = torch.linspace(0.5, 1.5, MAX_BATCH)[:, None]
    with torch.inference_mode():
        maps = model.encoder(images, frequencies)
    return {
        "images": images,
        "frequencies": frequencies,
        "adapter": weights * factors,
        "amplitude": model.amplitude(images),
        **{f"map_{index}": map_ for index, map_ in enumerate(maps)},
    }


@pytest.fixture(scope="module", params=RUNTIMES)
def engine(
    request: pytest.FixtureRequest,
    case: tuple[Graph, tuple[torch.Tensor, ...]],
    plans: PlanStore,
) -> Engine:
    runtime: Runtime = request.param
    return runtime.build(case[0], plans)


@pytest.mark.parametrize("batch", range(1, MAX_BATCH + 1))
def test_an_engine_says_what_pytorch_says(
    case: tuple[Graph, tuple[torch.Tensor, ...]], engine: Engine, batch: int
) -> None:
    graph = case[0]
    inputs = [tensor[-batch:] for tensor in case[1]]
    with torch.inference_mode():
        expected = graph.module(*inputs)
    found = engine.run(*inputs)
    errors = compare(graph.outputs, found, expected)
    assert find_fault(errors, engine.spec.precision, ALLOWED) is None


def test_the_pictures_of_a_batch_do_not_see_each_other(
    case: tuple[Graph, tuple[torch.Tensor, ...]], engine: Engine
) -> None:
    together = engine.run(*case[1])
    alone = engine.run(*(tensor[1:2] for tensor in case[1]))
    for one, other in zip(together, alone, strict=True):
        # Another batch may add in another order: a few roundings of what was computed with.
        tolerance = 1e-4 if engine.spec.precision == "fp32" else 0.2
        torch.testing.assert_close(one[1:2], other, rtol=tolerance, atol=tolerance)
        assert not torch.allclose(one[:1], other, rtol=tolerance, atol=tolerance)
