from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from lsm_engines import Graph
from lsm_monitor.model import graphs
from lsm_monitor.model.build import build_model
from lsm_monitor.model.graphs import encoder_graph, head_graph
from lsm_monitor.model.he_adapt import flat_weights
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts, SemanticPromptParts, SpatialPromptParts
from tests.unit.model.models import (
    EVERYTHING,
    NO_PROMPTS,
    SIZE_PX,
    lively_model,
    noise,
    shrink_sam,
)

PICTURE = (3, SIZE_PX, SIZE_PX)
PYRAMID = {
    "map_0": (24, 16, 16),
    "map_1": (40, 8, 8),
    "map_2": (112, 4, 4),
    "map_3": (320, 2, 2),
}


def changed(parts: ModelParts, **changes: object) -> ModelParts:
    return ModelParts.model_validate(parts.model_dump() | changes)


@pytest.fixture(scope="module", params=["efficientnet_lite0", "sam_vit_b"])
def either(request: pytest.FixtureRequest) -> LsmAdapter:
    """A model on each kind of image encoder."""
    with pytest.MonkeyPatch.context() as patch:
        shrink_sam(patch)
        return lively_model(changed(EVERYTHING, image_encoder=request.param))


def inputs_of(model: LsmAdapter, batch: int) -> dict[str, torch.Tensor]:
    """Everything that a graph may want to see, by name."""
    images, equalised = noise(batch), noise(batch, seed=3)
    frequencies = model.frequencies(equalised)
    tensors = {
        "images": images,
        "frequencies": frequencies,
        "amplitude": model.amplitude(images),
    }
    if model.encoder.adapter is not None:
        tensors["adapter"] = flat_weights(model.encoder.adapter).repeat(batch, 1)
    maps = model.encoder(images, frequencies)
    return tensors | {f"map_{index}": map_ for index, map_ in enumerate(maps)}


def run(graph: Graph, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Run the graph as an engine does; what it says about itself must hold."""
    given = {name: tensors[name] for name in graph.inputs}
    assert {name: tuple(tensor.shape[1:]) for name, tensor in given.items()} == graph.inputs
    return dict(zip(graph.outputs, graph.module(*given.values()), strict=True))


def test_the_encoder_graph_gives_the_maps_of_the_adapted_encoder(either: LsmAdapter) -> None:
    graph = encoder_graph(either)
    assert (graph.name, [*graph.inputs]) == ("encoder", ["images", "frequencies", "adapter"])
    with torch.inference_mode():
        tensors = inputs_of(either, batch=2)
        found = run(graph, tensors)
    assert [*found] == [name for name in tensors if name.startswith("map_")]
    for name, map_ in found.items():
        torch.testing.assert_close(map_, tensors[name], rtol=1e-4, atol=1e-4)


def test_the_encoder_graph_does_not_look_at_the_models_own_adapter() -> None:
    model = lively_model(EVERYTHING)
    graph = encoder_graph(model)
    assert model.encoder.adapter is not None
    with torch.inference_mode():
        tensors = inputs_of(model, batch=1)
        for parameter in model.encoder.adapter.parameters():
            parameter.fill_(torch.nan)
        found = run(graph, tensors)
    assert all(map_.isfinite().all() for map_ in found.values())


def test_the_head_graph_gives_the_logits_of_the_head(either: LsmAdapter) -> None:
    graph = head_graph(either)
    assert graph is not None
    assert (graph.name, graph.outputs) == ("head", ("logits",))
    with torch.inference_mode():
        tensors = inputs_of(either, batch=2)
        maps = [tensor for name, tensor in tensors.items() if name.startswith("map_")]
        expected = either.head(tensors["images"], tensors["amplitude"], maps).logits
        found = run(graph, tensors)["logits"]
    assert expected.std() > 0.05
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        pytest.param(EVERYTHING, ["images", "amplitude"], id="everything"),
        pytest.param(changed(EVERYTHING, style_prompt=False), ["images"], id="no-style"),
        pytest.param(changed(EVERYTHING, spatial_prompt=None), ["amplitude"], id="no-spatial"),
        pytest.param(NO_PROMPTS, [], id="no-prompts"),
    ],
)
def test_a_head_takes_only_what_its_parts_look_at(parts: ModelParts, names: list[str]) -> None:
    model = build_model(parts)
    graph = head_graph(model)
    assert graph is not None
    assert graph.inputs == dict.fromkeys(names, PICTURE) | PYRAMID
    with torch.inference_mode():
        logits = run(graph, inputs_of(model, batch=1))["logits"]
    assert logits.shape == (1, 1, SIZE_PX // 4, SIZE_PX // 4)


def test_an_encoder_without_adapter_takes_nothing_but_pictures() -> None:
    model = lively_model(changed(EVERYTHING, encoder_adapter=None))
    graph = encoder_graph(model)
    assert graph.inputs == {"images": PICTURE}
    assert graph.outputs == tuple(PYRAMID)
    with torch.inference_mode():
        tensors = inputs_of(model, batch=1)
        found = run(graph, tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in PYRAMID)


CLASSWISE = {"decoder": "classwise", "block_adapters": True, "small_model_say": 0.5}


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "sam_vit_b"])
def test_the_graphs_of_a_class_wise_model_give_its_maps_and_the_logits_of_each_class(
    encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    model = lively_model(changed(EVERYTHING, image_encoder=encoder, **CLASSWISE))
    for name, parameter in model.encoder.named_parameters():
        if name.startswith("block_adapters."):
            torch.nn.init.normal_(parameter, std=0.1)
    head = head_graph(model)
    assert head is not None
    with torch.inference_mode():
        tensors = inputs_of(model, batch=2)
        maps = [tensor for name, tensor in tensors.items() if name.startswith("map_")]
        expected = model.head(tensors["images"], tensors["amplitude"], maps)
        for name, map_ in run(encoder_graph(model), tensors).items():
            torch.testing.assert_close(map_, tensors[name], rtol=1e-4, atol=1e-4)
        found = run(head, tensors)["logits"]
    assert found.shape == (2, 5, SIZE_PX // 4, SIZE_PX // 4)
    torch.testing.assert_close(found, expected.class_logits)
    torch.testing.assert_close(found[:, 3:4], expected.logits)
    torch.testing.assert_close(found.softmax(1)[:, 3:4], expected.logits.sigmoid())


def test_adapters_inside_the_blocks_are_part_of_the_plan() -> None:
    model = build_model(changed(EVERYTHING, encoder_adapter=None, block_adapters=True))
    before = encoder_graph(model)
    assert before.inputs == {"images": PICTURE}
    assert model.encoder.block_adapters is not None
    next(model.encoder.block_adapters.parameters()).data.add_(1e-3)
    assert encoder_graph(model).fingerprint != before.fingerprint


NO_GRAPHS = {
    "box": {"spatial_prompt": SpatialPromptParts(kind="box")},
    "points": {"spatial_prompt": SpatialPromptParts(kind="points", grid=4)},
    "mask_rcnn": {"small_model": "mask_rcnn"},
    "sinet_v2": {"small_model": "sinet_v2"},
    "u2netp": {"small_model": "u2netp"},
}


@pytest.mark.parametrize("changes", NO_GRAPHS.values(), ids=NO_GRAPHS)
def test_a_head_that_is_more_than_arithmetic_on_tensors_is_no_graph(
    changes: dict[str, object],
) -> None:
    model = build_model(EVERYTHING.model_copy(update=changes))
    assert head_graph(model) is None
    assert encoder_graph(model).name == "encoder"


def test_a_small_model_that_gives_no_prompt_is_not_in_the_way() -> None:
    parts = changed(EVERYTHING, small_model="u2netp", spatial_prompt=None)
    assert head_graph(build_model(parts)) is not None


def rare_operators(call: Callable[[], object]) -> set[str]:
    """Return the names of what runs and few runtimes know: FFTs, resizing that averages."""
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as seen:
        call()
    names = {event.key for event in seen.key_averages()}
    return {name for name in names if "fft" in name or "_aa" in name}


def test_graphs_do_nothing_that_few_runtimes_can() -> None:
    size_px = 288  # larger than the amplitude image
    model = build_model(changed(EVERYTHING, input_size_px=size_px))
    head = head_graph(model)
    assert head is not None
    images = noise(1, size_px=size_px)
    rare = rare_operators(lambda: model(images, images))
    assert rare >= {"aten::fft_rfft2", "aten::_upsample_bilinear2d_aa"}
    for graph in (encoder_graph(model), head):
        inputs = [torch.randn(1, *shape) for shape in graph.inputs.values()]
        assert rare_operators(functools.partial(graph.module, *inputs)) == set()


def test_a_model_in_training_gives_graphs_in_evaluation_mode() -> None:
    model = build_model(EVERYTHING).train()
    head = head_graph(model)
    assert head is not None
    for graph in (encoder_graph(model), head):
        assert not any(module.training for module in graph.module.modules())


def prints(model: LsmAdapter) -> tuple[str, str]:
    head = head_graph(model)
    assert head is not None
    return encoder_graph(model).fingerprint, head.fingerprint


def test_the_fingerprints_of_the_same_model_are_the_same() -> None:
    one, other = prints(lively_model(EVERYTHING)), prints(lively_model(EVERYTHING))
    assert one == other
    assert one[0] != one[1]


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        pytest.param("encoder.image_encoder.stem.0.weight", (True, False), id="encoder"),
        pytest.param(
            "encoder.image_encoder.stem.1.running_var", (True, False), id="statistics"
        ),
        pytest.param("encoder.adapter.shared.weight", (False, False), id="adapter"),
        pytest.param("head.semantic_prompter.prototypes", (False, True), id="head"),
    ],
)
def test_a_fingerprint_changes_with_the_weights_inside_the_graph_alone(
    weight: str, expected: tuple[bool, bool]
) -> None:
    """So a plan of the encoder outlives every training of the adapter and of the head."""
    model = lively_model(EVERYTHING)
    before = prints(model)
    model.state_dict()[weight].view(-1)[-1] += 1e-3
    assert tuple(a != b for a, b in zip(prints(model), before, strict=True)) == expected


def test_a_fingerprint_changes_with_what_the_weights_do_not_tell() -> None:
    semantic = SemanticPromptParts(prototypes_per_class=3, foreground_only=True)
    plain = lively_model(EVERYTHING)
    foreground = lively_model(EVERYTHING.model_copy(update={"semantic_prompt": semantic}))
    larger = lively_model(changed(EVERYTHING, input_size_px=96))
    for other in (foreground, larger):
        other.load_state_dict(plain.state_dict())
    assert prints(foreground)[0] == prints(plain)[0]
    assert prints(foreground)[1] != prints(plain)[1]
    assert set(prints(larger)).isdisjoint(prints(plain))


def test_a_fingerprint_changes_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lively_model(EVERYTHING)
    before = prints(model)
    sources = Path(graphs.__file__).parent
    for path in sources.glob("*.py"):
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(graphs, "__file__", str(tmp_path / "graphs.py"))
    assert prints(model) == before
    with (tmp_path / "neck.py").open("a") as file:
        file.write("# changed\n")
    assert set(prints(model)).isdisjoint(before)
