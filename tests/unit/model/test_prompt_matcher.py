from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model import build
from lsm_monitor.model.build import build_model
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import MatcherParts, ModelParts
from lsm_monitor.model.prompt_matcher import (
    PromptMatcher,
    PyramidDilation,
    StageMatchers,
    fit_map,
    walk,
)
from lsm_monitor.model.sam_source import Block
from lsm_monitor.model.sam_vit import VIT_SIZES, SamVit, VitSize
from tests.unit.model.models import NO_PROMPTS, noise, parameter_count

STAGES = {"efficientnet_lite0": [1, 2, 3, 4, 5], "sam_vit_b": [1, 2, 3]}
TWO_STAGES = VitSize(width=64, depth=4, heads=2, global_blocks=(1, 3), window=3)


def matched(encoder: str, **matchers: object) -> LsmAdapter:
    """Return a model without other prompts; one matcher before every stage and the head."""
    adapter = {"kind": "spm", "prompted_stages": STAGES[encoder], "recurrences": 2, **matchers}
    changes = {"image_encoder": encoder, "encoder_adapter": adapter}
    torch.manual_seed(0)
    return build_model(ModelParts.model_validate(NO_PROMPTS.model_dump() | changes)).eval()


def teach(module: nn.Module, std: float = 0.1) -> None:
    """Bring the matchers where training might: away from zero."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)


@pytest.fixture(params=STAGES)
def either(request: pytest.FixtureRequest) -> Iterator[LsmAdapter]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "VIT_SIZES", dict.fromkeys("blh", TWO_STAGES))
        yield matched(request.param)


@pytest.fixture
def cnn() -> LsmAdapter:
    return matched("efficientnet_lite0")


def adapter_of(model: LsmAdapter) -> StageMatchers:
    assert isinstance(model.encoder.adapter, StageMatchers)
    return model.encoder.adapter


def matcher(recurrences: int = 1, classes: int = 3) -> PromptMatcher:
    torch.manual_seed(0)
    parts = MatcherParts(kind="spm", recurrences=recurrences, channels=16, groups=2)
    return PromptMatcher(8, classes, parts)


def features_and_map(batch: int = 2, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(batch, 8, 12, 12, generator=generator)
    return features, torch.randn(batch, classes, 12, 12, generator=generator).softmax(1)


def conv(name: str, module: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution written as the matrix that it is."""
    weight = module.get_parameter(f"{name}.weight")[:, :, 0, 0]
    bias = module.get_parameter(f"{name}.bias")[:, None, None]
    return torch.einsum("oc,bchw->bohw", weight, features) + bias


def pyramid(name: str, module: nn.Module, features: torch.Tensor, groups: int) -> torch.Tensor:
    """Fig. 3: quarters of the channels, each through one dilation, then joined."""
    seen = []
    for index, (part, dilation) in enumerate(
        zip(features.chunk(4, 1), (1, 2, 4, 8), strict=True)
    ):
        weight = module.get_parameter(f"{name}.branches.{index}.weight")
        bias = module.get_parameter(f"{name}.branches.{index}.bias")
        seen.append(F.conv2d(part, weight, bias, 1, dilation, dilation, groups))
    return conv(f"{name}.fuse", module, torch.cat(seen, 1))


def branch(name: str, module: nn.Module, features: torch.Tensor) -> torch.Tensor:
    compact = conv(f"{name}.0", module, features).relu()
    return conv(f"{name}.4", module, pyramid(f"{name}.2", module, compact, 2).relu())


@pytest.mark.parametrize("recurrences", [1, 2, 3])
def test_a_matcher_does_what_equations_2_to_4_say(recurrences: int) -> None:
    module = matcher(recurrences)
    teach(module, 0.3)
    features, semantic = features_and_map()
    with torch.inference_mode():
        found = module(features, semantic)
        history = []
        for _ in range(recurrences):
            scores = branch("semantic", module, torch.cat([features, semantic], 1))
            history.append(scores)
            semantic = scores.exp() / scores.exp().sum(1, keepdim=True)
            weight = branch("prompt", module, torch.cat([features, semantic], 1))
            features = features + features * weight
    assert len(found) == 2 + recurrences
    for one, other in zip(found, (features, semantic, *history), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_weights_are_shared_by_all_repetitions() -> None:
    assert parameter_count(matcher(3)) == parameter_count(matcher(1))


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
def test_a_quarter_of_the_channels_sees_as_far_as_its_dilation(dilation: int) -> None:
    pdc = PyramidDilation(16, 2, (1, 2, 4, 8))
    index = (1, 2, 4, 8).index(dilation)
    features = torch.zeros(1, 16, 33, 33, requires_grad=True)
    pdc.branches[index](features.chunk(4, 1)[index])[0, 0, 16, 16].backward()
    assert features.grad is not None
    seen = features.grad[0].abs().sum(0).nonzero()
    assert {int(place) for place in seen.flatten()} == {16 - dilation, 16, 16 + dilation}
    channels = features.grad[0].abs().sum((1, 2)).nonzero().flatten().tolist()
    assert channels == [4 * index, 4 * index + 1]  # of its group


def test_a_fresh_matcher_leaves_the_encoder_as_it_is_bit_for_bit(either: LsmAdapter) -> None:
    images = noise(2)
    with torch.inference_mode():
        maps = either.encoder(images, images)
        plain = either.encoder.image_encoder(images)
    assert len(maps) == len(plain)
    assert all(torch.equal(one, other) for one, other in zip(maps, plain, strict=True))


def test_a_taught_matcher_changes_every_map(either: LsmAdapter) -> None:
    images = noise(2)
    with torch.inference_mode():
        plain = either.encoder(images, images)
        teach(adapter_of(either))
        taught = either.encoder(images, images)
    assert not any(torch.allclose(a, b) for a, b in zip(taught, plain, strict=True))


def test_two_pictures_together_are_seen_as_each_alone(either: LsmAdapter) -> None:
    teach(adapter_of(either))
    images = noise(2)
    with torch.inference_mode():
        together, interim = either.encoder.look(images, images)
        for index in range(2):
            one = images[index : index + 1]
            alone, alone_interim = either.encoder.look(one, one)
            for map_, other in zip(together, alone, strict=True):
                torch.testing.assert_close(map_[index : index + 1], other, rtol=1e-4, atol=1e-4)
            for number, scores in interim.items():
                for score, other in zip(scores, alone_interim[number], strict=True):
                    found = score[index : index + 1]
                    torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)


def test_every_matcher_gives_r_maps_at_the_size_of_what_it_stands_behind(
    cnn: LsmAdapter,
) -> None:
    images = noise(2)
    with torch.inference_mode():
        _, interim = cnn.encoder.look(images, images)
    shapes = {number: [tuple(each.shape) for each in maps] for number, maps in interim.items()}
    sizes = {1: 32, 2: 16, 3: 8, 4: 4, 5: 2}
    assert shapes == {number: [(2, 2, side, side)] * 2 for number, side in sizes.items()}


def test_the_semantic_maps_of_a_class_wise_model_have_its_classes() -> None:
    changes = {"decoder": "classwise", "encoder_adapter": "spm"}
    parts = ModelParts.model_validate(NO_PROMPTS.model_dump() | changes)
    assert adapter_of(build_model(parts)).frequencies.shape == (5,)


def test_the_first_map_says_how_often_each_class_was_at_every_place() -> None:
    frequencies = torch.tensor([0.9, 0.1])
    seen: list[torch.Tensor] = []

    def match(features: torch.Tensor, semantic: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(semantic)
        return features, semantic * 2

    walk(
        [lambda x: x, lambda x: F.avg_pool2d(x, 2)], {1: match, 2: match}, frequencies, noise(3)
    )
    assert torch.equal(seen[0], frequencies.view(1, 2, 1, 1).expand(3, 2, 64, 64))
    assert seen[1].shape == (3, 2, 32, 32)  # what the first one returned, at the coarser size
    torch.testing.assert_close(seen[1][0, :, 5, 5], torch.tensor([1.8, 0.2]))


def test_a_coarser_map_is_the_mean_of_what_it_covers() -> None:
    semantic = torch.rand(2, 3, 8, 8).softmax(1)
    coarser = fit_map(semantic, torch.zeros(2, 1, 2, 2))
    torch.testing.assert_close(coarser[:, :, 0, 1], semantic[:, :, :4, 4:].mean((2, 3)))
    torch.testing.assert_close(coarser.sum(1), torch.ones(2, 2, 2))


def test_only_the_prompted_stages_have_matchers() -> None:
    model = matched("efficientnet_lite0", prompted_stages=[4, 2])
    assert [*adapter_of(model).by_stage] == [2, 4]
    images = noise(1)
    teach(adapter_of(model))
    with torch.inference_mode():
        maps, interim = model.encoder.look(images, images)
        plain = model.encoder.image_encoder(images)
    assert [*interim] == [2, 4]
    assert not torch.allclose(maps[0], plain[0])  # the second stage sees it matched


def test_a_stage_that_the_encoder_has_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "VIT_SIZES", dict.fromkeys("blh", TWO_STAGES))
    with pytest.raises(ValueError, match="names 4; this image encoder has 2 stages, the head"):
        matched("sam_vit_b", prompted_stages=[1, 4])


def test_sam_has_four_even_stages_that_end_with_a_look_at_the_whole_picture() -> None:
    with torch.device("meta"):
        for size in VIT_SIZES.values():
            encoder = SamVit(size)
            stages = encoder.frozen_stages()[1:]
            found = [
                [block.window_size for block in stage.modules() if isinstance(block, Block)]
                for stage in stages
            ]
            assert [len(windows) for windows in found] == [size.depth // 4] * 4
            assert all(windows[-1] == 0 and min([1, *windows[:-1]]) for windows in found)
            assert len(encoder.boundaries) == 5


def test_without_its_groups_in_the_1x1_convolutions_the_paper_counts_like_this() -> None:
    """ResNet-101, 150 classes; the published counts, .48 to 3.11 M, need groups not given."""
    parts = MatcherParts(kind="spm", channels=256, groups=16)
    with torch.device("meta"):
        counts = [
            parameter_count(PromptMatcher(channels, 150, parts))
            for channels in (128, 256, 512, 1024, 2048)
        ]
    found = [sum(counts[: index + 1]) / 1e6 for index in range(5)]
    assert found == pytest.approx([0.36, 0.83, 1.49, 2.54, 4.38], abs=0.006)


@pytest.mark.parametrize(
    ("channels", "groups", "parameters"), [(64, 16, 692_874), (96, 8, 1_085_642)]
)
def test_the_matchers_of_sam_vit_b_are_a_file_of_less_than_five_megabytes(
    channels: int, groups: int, parameters: int
) -> None:
    """All five, in half precision, as a bundle stores them."""
    parts = MatcherParts(
        kind="spm", channels=channels, groups=groups, prompted_stages=(1, 2, 3, 4, 5)
    )
    with torch.device("meta"):
        boundaries = [channels for channels, _ in SamVit(VIT_SIZES["b"]).boundaries]
        matchers = StageMatchers(boundaries, 2, parts)
    assert parameter_count(matchers) == parameters
    assert 2 * parameters < 5e6
