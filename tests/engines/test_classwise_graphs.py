"""A class-wise model with adapters in its blocks, compiled, says what PyTorch says."""

from __future__ import annotations

import pytest
import torch

from lsm_engines import EngineRequest, build_engine
from lsm_engines.parity import compare, find_fault
from lsm_engines.plans import PlanStore
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.he_adapt import flat_weights
from lsm_monitor.model.parts import ModelParts
from tests.unit.model.models import EVERYTHING, lively_model, noise, shrink_sam

CLASSWISE = {"decoder": "classwise", "block_adapters": True, "small_model_say": 0.5}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "sam_vit_b"], ids=["cnn", "vit"])
def test_both_graphs_give_pytorchs_maps_and_logits_of_each_class(
    encoder: str, plans: PlanStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    shrink_sam(monkeypatch)
    changes = {**CLASSWISE, "image_encoder": encoder}
    model = lively_model(ModelParts.model_validate(EVERYTHING.model_dump() | changes))
    blocks = model.encoder.block_adapters
    assert blocks is not None
    assert model.encoder.adapter is not None
    for parameter in blocks.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images, equalised = noise(2), noise(2, seed=3)
    tensors = {
        "images": images,
        "frequencies": model.frequencies(equalised),
        "amplitude": model.amplitude(images),
        "adapter": flat_weights(model.encoder.adapter).repeat(2, 1),
    }
    request = EngineRequest("cpu", max_batch=2)
    for graph in (encoder_graph(model), head_graph(model)):
        assert graph is not None
        inputs = [tensors[name] for name in graph.inputs]
        with torch.inference_mode():
            wanted = graph.module(*inputs)
            engine = build_engine("onnxruntime", graph, request, plans)
            found = engine.run(*inputs)
            engine.close()
        assert find_fault(compare(graph.outputs, found, wanted), engine.spec.precision) is None
        tensors |= dict(zip(graph.outputs, wanted, strict=True))
    assert tensors["logits"].shape == (2, 5, 16, 16)
