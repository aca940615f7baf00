"""The whole model: every part can be left out, and no picture reaches its neighbour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from lsm_monitor.model.build import build_model
from lsm_monitor.model.high_frequency import high_frequency
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import (
    EncoderAdapterParts,
    ModelParts,
    SemanticPromptParts,
    SpatialPromptParts,
)
from lsm_monitor.model.spatial_prompt import box_prompt, point_prompt
from lsm_monitor.model.style_prompt import amplitude_image
from tests.unit.model.models import (
    EVERYTHING,
    NO_PROMPTS,
    SIZE_PX,
    dry_model,
    lively_model,
    noise,
    run,
    shrink_sam,
)

SPATIAL = {
    "mask": SpatialPromptParts(kind="mask"),
    "box": SpatialPromptParts(kind="box"),
    "per-component": SpatialPromptParts(kind="box", boxes="per_component"),
    "points": SpatialPromptParts(kind="points", grid=4),
}
SPATIAL_TOKENS = {"mask": 0, "box": 2, "per-component": 16, "points": 16}
OTHER_TOKENS = 2 + 1 + 1  # semantic, style, adaptive

every_spatial_kind = pytest.mark.parametrize("kind", SPATIAL)


def with_spatial(kind: str) -> ModelParts:
    return EVERYTHING.model_copy(update={"spatial_prompt": SPATIAL[kind]})


@dataclass
class SeenByDecoder:
    """What the mask decoder was last given."""

    sparse: torch.Tensor = field(default_factory=torch.Tensor)
    dense: torch.Tensor = field(default_factory=torch.Tensor)

    def __call__(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.sparse, self.dense = inputs[2], inputs[3]


def spy(model: LsmAdapter) -> SeenByDecoder:
    seen = SeenByDecoder()
    model.head.mask_decoder.register_forward_pre_hook(seen)
    return seen


@pytest.fixture(scope="module", params=SPATIAL)
def everything(request: pytest.FixtureRequest) -> tuple[str, LsmAdapter]:
    return request.param, lively_model(with_spatial(request.param))


def test_a_batch_of_two_equals_two_batches_of_one(everything: tuple[str, LsmAdapter]) -> None:
    _, model = everything
    images = noise(2)
    together = run(model, images)
    # Or nothing is shown: both pictures have water and dry ground, and differ.
    assert together.small_logits is not None
    assert (together.small_logits.amax((1, 2, 3)) > 0).all()
    assert (together.small_logits.amin((1, 2, 3)) < 0).all()
    assert (together.logits[0] - together.logits[1]).abs().max() > 0.1
    apart = torch.cat([run(model, image[None]).logits for image in images])
    assert together.logits.shape == (2, 1, SIZE_PX // 4, SIZE_PX // 4)
    assert together.logits.dtype == torch.float32
    torch.testing.assert_close(together.logits, apart, rtol=1e-4, atol=1e-4)


def test_every_prompt_reaches_the_decoder_with_its_tokens(
    everything: tuple[str, LsmAdapter],
) -> None:
    kind, model = everything
    seen = spy(model)
    run(model, noise(2))
    assert seen.sparse.shape == (2, SPATIAL_TOKENS[kind] + OTHER_TOKENS, 256)
    no_mask = model.head.prompt_encoder.no_mask(2, (4, 4))
    assert torch.equal(seen.dense, no_mask) is (kind != "mask")


STRICT = 0.7
PROMPTS: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]] = {
    "box": partial(box_prompt, threshold=STRICT, per_component=False),
    "per-component": partial(box_prompt, threshold=STRICT, per_component=True),
    "points": partial(point_prompt, threshold=STRICT, grid=4),
}


@pytest.mark.parametrize(("kind", "prompt"), PROMPTS.items(), ids=PROMPTS)
def test_points_and_boxes_are_those_of_the_small_models_logits(
    kind: str, prompt: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
) -> None:
    strict = SPATIAL[kind].model_copy(update={"threshold": STRICT})
    model = lively_model(EVERYTHING.model_copy(update={"spatial_prompt": strict}))
    seen = spy(model)
    small_logits = run(model, noise(2)).small_logits
    assert small_logits is not None
    expected = model.head.prompt_encoder.embed_sparse(*prompt(small_logits))
    torch.testing.assert_close(seen.sparse[:, :-OTHER_TOKENS], expected)


def test_the_mask_is_the_small_models_logits_but_limited() -> None:
    model = lively_model(with_spatial("mask"))
    small = model.head.small_model
    assert small is not None
    with torch.no_grad():
        small.get_parameter("pyramid.logits.weight").mul_(20.0)
    seen = spy(model)
    small_logits = run(model, noise(2)).small_logits
    assert small_logits is not None
    assert small_logits.abs().max() > 20.0
    limited = small_logits.clamp(-10.0, 10.0)
    expected = model.head.prompt_encoder.embed_mask(limited, (4, 4))
    torch.testing.assert_close(seen.dense, expected)


@every_spatial_kind
def test_a_dry_street_has_finite_logits_and_gradients(kind: str) -> None:
    model = dry_model(with_spatial(kind))
    segmentation = model(noise(2), noise(2, seed=3))
    assert segmentation.small_logits.max() < 0
    assert segmentation.logits.isfinite().all()
    torch.autograd.backward(segmentation.logits.square().mean())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_spatial_kind
def test_with_sams_encoder_a_batch_of_two_equals_two_batches_of_one(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    model = lively_model(with_spatial(kind).model_copy(update={"image_encoder": "sam_vit_b"}))
    images = noise(2)
    apart = torch.cat([run(model, image[None]).logits for image in images])
    torch.testing.assert_close(run(model, images).logits, apart, rtol=1e-4, atol=1e-4)


def test_a_dry_picture_beside_a_wet_one_keeps_its_mask(
    everything: tuple[str, LsmAdapter],
) -> None:
    """Tokens are filled up to the same number; filling must not speak."""
    _, model = everything
    images = torch.cat([noise(1), torch.full((1, 3, SIZE_PX, SIZE_PX), -0.9)])
    together, alone = run(model, images), run(model, images[1:])
    assert together.small_logits is not None
    assert together.small_logits[0].max() > 0 > together.small_logits[1].max()
    torch.testing.assert_close(together.logits[1:], alone.logits, rtol=1e-4, atol=1e-4)


@dataclass(frozen=True)
class Row:
    """One row of the paper's ablation."""

    changes: dict[str, Any]
    tokens: int
    has_mask: bool


SAM_ADAPTER = {"encoder_adapter": EncoderAdapterParts(kind="he", equalisation="off")}
SPATIAL_ON = {"small_model": "lite", "spatial_prompt": SPATIAL["mask"]}
SEMANTIC_ON = {"semantic_prompt": SemanticPromptParts(prototypes_per_class=3)}
TABLE_3 = {
    "sam": Row({"encoder_adapter": None}, tokens=0, has_mask=False),
    "sam-adapter": Row(SAM_ADAPTER, tokens=0, has_mask=False),
    "he-adapt": Row({}, tokens=0, has_mask=False),
    "spatial": Row(SPATIAL_ON, tokens=0, has_mask=True),
    "semantic": Row(SPATIAL_ON | SEMANTIC_ON, tokens=2, has_mask=True),
    "style": Row(SPATIAL_ON | SEMANTIC_ON | {"style_prompt": True}, tokens=3, has_mask=True),
    "combiner": Row(
        SPATIAL_ON | SEMANTIC_ON | {"style_prompt": True, "prompt_combiner": True},
        tokens=4,
        has_mask=True,
    ),
}


@pytest.mark.parametrize("encoder", ["efficientnet_lite0", "sam_vit_b"])
@pytest.mark.parametrize("row", TABLE_3.values(), ids=TABLE_3)
def test_every_row_of_the_ablation_is_a_model(
    row: Row, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    parts = ModelParts.model_validate(
        NO_PROMPTS.model_dump() | {"image_encoder": encoder} | row.changes
    )
    model = build_model(parts).eval()
    seen = spy(model)
    segmentation = run(model, noise(2))
    assert segmentation.logits.shape == (2, 1, 16, 16)
    assert segmentation.logits.isfinite().all()
    assert (segmentation.small_logits is None) is (parts.small_model is None)
    assert (segmentation.semantic is None) is (parts.semantic_prompt is None)
    assert seen.sparse.shape == (2, row.tokens, 256)
    no_mask = model.head.prompt_encoder.no_mask(2, (4, 4))
    assert torch.equal(seen.dense, no_mask) is not row.has_mask


def test_the_foreground_alone_is_one_token_less() -> None:
    semantic = SemanticPromptParts(prototypes_per_class=3, foreground_only=True)
    model = build_model(EVERYTHING.model_copy(update={"semantic_prompt": semantic})).eval()
    seen = spy(model)
    run(model, noise(1))
    assert seen.sparse.shape[1] == OTHER_TOKENS - 1


def test_stage_one_is_the_model_without_prompts(model: LsmAdapter) -> None:
    bare = build_model(NO_PROMPTS).eval()
    missing, _ = bare.load_state_dict(model.state_dict(), strict=False)
    assert missing == []
    images, equalised = noise(2), noise(2, seed=3)
    with torch.inference_mode():
        unprompted = model(images, equalised, prompted=False)
        prompted = model(images, equalised)
        assert torch.equal(unprompted.logits, bare(images, equalised).logits)
    assert unprompted.small_logits is None
    assert unprompted.semantic is None
    assert (prompted.logits - unprompted.logits).abs().max() > 0.01


def test_the_adapter_sees_the_equalised_picture_and_the_rest_the_plain_one(
    model: LsmAdapter,
) -> None:
    images, equalised = noise(1), noise(1, seed=3)
    with torch.inference_mode():
        maps = model.encoder(images, high_frequency(equalised, 0.25))
        expected = model.head(images, amplitude_image(images), maps)
        found = model(images, equalised)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(model.frequencies(equalised), high_frequency(equalised, 0.25))
    assert torch.equal(model.amplitude(images), amplitude_image(images))


def test_the_style_prompter_sees_nothing_but_the_amplitude_image(model: LsmAdapter) -> None:
    images, maps = noise(1), model.encoder(noise(1), noise(1, seed=3))
    seen = spy(model)
    with torch.inference_mode():
        model.head(images, amplitude_image(images), maps)
        one = seen.sparse
        model.head(images, amplitude_image(5.0 * images), maps)
    changed = (seen.sparse - one).abs().amax(2)[0] > 1e-3
    assert changed.tolist() == [False, False, True, False]  # dry, water, style, adaptive


def test_without_an_adapter_the_equalised_picture_is_not_looked_at() -> None:
    model = build_model(EVERYTHING.model_copy(update={"encoder_adapter": None})).eval()
    with torch.inference_mode():
        one = model(noise(1), noise(1, seed=3))
        other = model(noise(1), noise(1, seed=4))
    assert torch.equal(one.logits, other.logits)


def test_without_a_style_prompter_the_amplitude_image_is_not_looked_at() -> None:
    model = build_model(EVERYTHING.model_copy(update={"style_prompt": False})).eval()
    images = noise(1)
    assert model.amplitude(images) is images
    nothing = torch.full_like(images, torch.nan)
    with torch.inference_mode():
        maps = model.encoder(images, images)
        found = model.head(images, nothing, maps)
    assert found.logits.isfinite().all()


def test_the_answer_weighs_the_decoder_with_the_small_model() -> None:
    parts = EVERYTHING.model_copy(update={"small_model_say": 0.67})
    model = build_model(parts).eval()
    with torch.inference_mode():
        found = model(noise(2), noise(2, seed=3))
        unprompted = model(noise(2), noise(2, seed=3), prompted=False)
    assert found.small_logits is not None
    small = F.interpolate(found.small_logits, found.logits.shape[-2:], mode="bilinear")
    expected = 0.33 * found.decoder_logits + 0.67 * small
    torch.testing.assert_close(found.logits, expected)
    assert torch.equal(unprompted.logits, unprompted.decoder_logits)


def test_the_answer_is_weighed_in_bfloat16_training_too() -> None:
    parts = EVERYTHING.model_copy(update={"small_model_say": 0.67})
    model = build_model(parts).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = model(noise(2), noise(2, seed=3))
    assert found.decoder_logits.dtype == torch.bfloat16
    assert found.logits.dtype == torch.float32
    assert found.logits.isfinite().all()


def test_without_a_say_of_the_small_model_the_decoder_has_the_last_word(
    model: LsmAdapter,
) -> None:
    with torch.inference_mode():
        found = model(noise(2), noise(2, seed=3))
    assert torch.equal(found.logits, found.decoder_logits)


def test_a_mask_may_be_given_in_place_of_the_small_models(model: LsmAdapter) -> None:
    images, equalised = noise(1), noise(1, seed=3)
    with torch.inference_mode():
        own = model(images, equalised)
        assert own.small_logits is not None
        same = model(images, equalised, small_logits=own.small_logits)
        other = model(images, equalised, small_logits=-own.small_logits)
    assert torch.equal(same.logits, own.logits)
    assert not torch.equal(other.logits, own.logits)


def test_everything_but_the_frozen_encoder_learns_from_the_logits(model: LsmAdapter) -> None:
    model.zero_grad()
    segmentation = model(noise(2), noise(2, seed=3))
    torch.autograd.backward(segmentation.logits.square().mean())
    idle = {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    model.zero_grad()
    allowed = (
        "encoder.image_encoder.",  # frozen
        "head.semantic_prompter.projector.",  # learns from the prototype loss
        "head.prompt_encoder.point_embeddings.",  # the spatial prompt is a mask
        "head.prompt_encoder.not_a_point_embed.",
        "head.prompt_encoder.no_mask_embed.",
        "head.mask_decoder.iou_prediction_head.",  # says how good the mask is
        # SAM's three other masks.
        *(f"head.mask_decoder.output_hypernetworks_mlps.{index}." for index in (1, 2, 3)),
    )
    assert [name for name in idle if not name.startswith(allowed)] == []
    assert all(any(name.startswith(prefix) for name in idle) for prefix in allowed)
