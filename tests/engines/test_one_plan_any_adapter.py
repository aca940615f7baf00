"""HE-Adapt's weights are an input: one compiled encoder serves every adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lsm_engines.export import onnx_file
from lsm_engines.plans import PlanStore
from lsm_monitor.model.graphs import encoder_graph
from lsm_monitor.model.he_adapt import flat_weights
from lsm_monitor.model.lsm_adapter import LsmAdapter
from tests.unit.model.models import EVERYTHING, lively_model, noise, shrink_sam

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime")


def readapted(model: LsmAdapter, seed: int) -> LsmAdapter:
    """Give the model another adapter, as another training would."""
    assert model.encoder.adapter is not None
    torch.manual_seed(seed)
    for parameter in model.encoder.adapter.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


@pytest.fixture(scope="module", params=["sam_vit_b", "efficientnet_lite0"], ids=["vit", "cnn"])
def models(request: pytest.FixtureRequest) -> tuple[LsmAdapter, LsmAdapter]:
    """Two models that differ in their adapters alone."""
    parts = EVERYTHING.model_copy(update={"image_encoder": request.param})
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        return readapted(lively_model(parts), 1), readapted(lively_model(parts), 2)


@pytest.fixture(scope="module")
def plan(models: tuple[LsmAdapter, LsmAdapter], plans: PlanStore) -> Path:
    """The encoder of the first model as an ONNX file."""
    return onnx_file(encoder_graph(models[0]), plans)


def run(plan: Path, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Run one batch; our own engine would split it, which would prove less."""
    session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
    arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
    return tuple(torch.from_numpy(array) for array in session.run(None, arrays))


def weights_of(model: LsmAdapter) -> torch.Tensor:
    assert model.encoder.adapter is not None
    return flat_weights(model.encoder.adapter)


@pytest.mark.parametrize("order", [(0,), (1,), (0, 1), (1, 0, 1)], ids=str)
def test_each_picture_of_a_batch_is_seen_through_its_own_adapter(
    models: tuple[LsmAdapter, LsmAdapter], plan: Path, order: tuple[int, ...]
) -> None:
    images, frequencies = noise(len(order)), noise(len(order), seed=3).abs()
    weights = torch.stack([weights_of(models[index]) for index in order])
    found = run(plan, images=images, frequencies=frequencies, adapter=weights)
    for place, index in enumerate(order):
        at = slice(place, place + 1)
        with torch.inference_mode():
            expected = models[index].encoder(images[at], frequencies[at])
            others = models[1 - index].encoder(images[at], frequencies[at])
        for map_, wanted, other in zip(found, expected, others, strict=True):
            torch.testing.assert_close(map_[at], wanted, rtol=1e-4, atol=1e-4)
            if not torch.equal(wanted, other):  # a CNN's finest map comes before all prompts
                assert (wanted - other).abs().max() > 0.1
        assert not torch.equal(expected[-1], others[-1])


def test_another_adapter_needs_no_other_plan(
    models: tuple[LsmAdapter, LsmAdapter], plan: Path, plans: PlanStore
) -> None:
    built_ns = plan.stat().st_mtime_ns
    assert onnx_file(encoder_graph(models[1]), plans) == plan
    assert plan.stat().st_mtime_ns == built_ns
