from __future__ import annotations

from typing import Any

import pytest
import torch

from lsm_monitor.model.build import IMAGE_ENCODERS, build_model
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.mask_rcnn import MaskRCNN
from lsm_monitor.model.parts import EncoderAdapterParts, Equalisation, ModelParts
from lsm_monitor.model.preprocess import (
    IMAGENET_NORMALISATION,
    LITE_NORMALISATION,
    Normalisation,
    Preprocessor,
)
from lsm_monitor.model.sinet_v2 import SINetV2
from lsm_monitor.model.u2net import U2Net
from lsm_monitor.model.weights import CHECKPOINTS
from tests.unit.model.models import EVERYTHING, NO_PROMPTS, parameter_count, shrink_sam

# As published: ViT-B at 1024 px (Sec. 4.1).
PAPER: dict[str, Any] = {"image_encoder": "sam_vit_b", "input_size_px": 1024}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"image_encoder": "vgg"},
            "unknown image_encoder 'vgg'; known are efficientnet_lite0, sam_vit_b, ",
            id="encoder",
        ),
        pytest.param(
            {"small_model": "unet"}, "unknown small_model 'unet'; known are lite, ", id="small"
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    fields: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(EVERYTHING.model_copy(update=fields))


@pytest.mark.parametrize(
    ("name", "native_px"),
    [("mask_rcnn", 800), ("sinet_v2", 352), ("u2net", 320), ("u2netp", 320)],
)
def test_a_small_model_shrinks_pictures_to_its_size_and_never_enlarges_them(
    name: str, native_px: int
) -> None:
    sizes = []
    for input_size_px in (160, 1024):
        parts = {"small_model": name, "input_size_px": input_size_px}
        with torch.device("meta"):
            small_model = build_model(EVERYTHING.model_copy(update=parts)).head.small_model
        assert isinstance(small_model, MaskRCNN | SINetV2 | U2Net)
        sizes.append(small_model.size_px)
    assert sizes == [160, native_px]


def test_stage_two_of_the_papers_model_learns_5_1_million_parameters() -> None:
    with torch.device("meta"):
        head = build_model(EVERYTHING.model_copy(update=PAPER | {"small_model": "u2netp"})).head
    assert parameter_count(head.semantic_prompter) == 65_792  # the projector
    assert parameter_count(head.combiner) == 1_024
    learned = parameter_count(
        head.semantic_prompter,
        head.style_prompter,
        head.combiner,
        head.mask_decoder,
        head.prompt_encoder,
    )
    assert learned == 5_093_680
    # Nothing else is in the head but the small model, which has been trained before.
    assert learned + parameter_count(head.small_model) == parameter_count(head)


def test_sam_adapter_learns_4_1_million_parameters() -> None:
    parts = NO_PROMPTS.model_copy(
        update=PAPER | {"encoder_adapter": EncoderAdapterParts(kind="he", equalisation="off")}
    )
    with torch.device("meta"):
        model = build_model(parts)
    learned = parameter_count(
        model.encoder.adapter, model.head.mask_decoder, model.head.prompt_encoder.no_mask_embed
    )
    assert learned == 4_121_908
    assert parameter_count(model) == 93_735_472 + 63_312  # SAM and its adapter


@pytest.mark.parametrize("name", IMAGE_ENCODERS)
def test_every_image_encoder_can_be_built_and_prompted(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink_sam(monkeypatch)
    parts = EVERYTHING.model_copy(update={"image_encoder": name, "input_size_px": 128})
    with torch.device("meta"):
        model = build_model(parts)
        images = torch.empty(2, 3, 128, 128)
        maps = model.encoder(images, images)
    assert len(maps[0]) == 2
    has_one_map = len(maps) == 1
    assert (model.head.neck is None) is has_one_map
    assert not any(p.requires_grad for p in model.encoder.image_encoder.parameters())


def test_bundles_leave_out_what_is_published_and_nothing_else() -> None:
    for name, large in IMAGE_ENCODERS.items():
        assert large.checkpoint == (name if name.startswith("sam_") else None)
    published = {large.checkpoint for large in IMAGE_ENCODERS.values()} - {None}
    assert published == set(CHECKPOINTS)


@pytest.mark.parametrize(
    ("name", "normalisation"),
    [("efficientnet_lite0", LITE_NORMALISATION), ("sam_vit_b", IMAGENET_NORMALISATION)],
)
@pytest.mark.parametrize("adapter", [None, EncoderAdapterParts(kind="he", equalisation="luma")])
def test_pictures_are_prepared_as_the_encoder_and_the_adapter_want_them(
    name: str, normalisation: Normalisation, adapter: EncoderAdapterParts | None
) -> None:
    parts = EVERYTHING.model_copy(update={"image_encoder": name, "encoder_adapter": adapter})
    with torch.device("meta"):
        preprocessor = build_model(parts).preprocessor
    equalisation: Equalisation = "off" if adapter is None else "luma"
    assert preprocessor == Preprocessor(64, normalisation, equalisation)


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_the_adapter_sees_what_its_share_leaves(share: float) -> None:
    adapter = EncoderAdapterParts(kind="he", removed_share=share)
    with torch.device("meta"):
        model = build_model(EVERYTHING.model_copy(update={"encoder_adapter": adapter}))
    assert model.adapter_parts == adapter


def test_each_class_has_the_prototypes_asked_for() -> None:
    with torch.device("meta"):
        prompter = build_model(EVERYTHING).head.semantic_prompter
    assert prompter is not None
    assert prompter.prototypes.shape == (2, 3, 256)


def test_only_prompts_that_are_on_are_weighed() -> None:
    parts = ModelParts.model_validate(
        EVERYTHING.model_dump() | {"semantic_prompt": None, "spatial_prompt": None}
    )
    with torch.device("meta"):
        combiner = build_model(parts).head.combiner
    assert combiner is not None
    assert set(combiner.weights) == {"style"}


def test_a_pyramids_fine_maps_reach_the_mask_decoder() -> None:
    with torch.device("meta"):
        projections = build_model(NO_PROMPTS).head.mask_decoder.high_res_projections
    channels = [projection.get_parameter("weight").shape[1] for projection in projections]
    assert channels == list(EfficientNetLite0.channels[:2])
