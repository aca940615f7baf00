from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lsm_monitor.model.parts import MatcherParts, ModelParts
from tests.unit.model.models import EVERYTHING, NO_PROMPTS


def changed(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is anything
    return EVERYTHING.model_dump() | fields


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"small_model": None}, "'spatial_prompt' needs a 'small_model'", id="where"
        ),
        pytest.param(
            {"spatial_prompt": None, "semantic_prompt": None, "style_prompt": False},
            "'prompt_combiner' needs a prompt",
            id="nothing-to-combine",
        ),
        pytest.param({"input_size_px": 100}, "multiple of 32", id="size"),
        pytest.param(
            {"encoder_adapter": {"kind": "lora"}}, "expected tags: 'he', 'spm'", id="adapter"
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "spm", "channels": 48}}, "multiple of", id="spm"
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "spm", "prompted_stages": [1, 1]}},
            "twice",
            id="stages",
        ),
        pytest.param(
            {"encoder_adapter": "spm", "block_adapters": True},
            "'block_adapters' change the stages",
            id="frozen",
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "he", "equalisation": "hsv"}},
            "'rgb'",
            id="equalisation",
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "he", "removed_share": 1.0}}, "less than 1", id="share"
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "he", "removed_share": 0.0, "band": "low"}},
            "above 0: it is what is kept",
            id="nothing-kept",
        ),
        pytest.param(
            {"encoder_tuning": {"kind": "lora"}},
            "expected tags: 'low_rank', 'full'",
            id="tuning",
        ),
        pytest.param(
            {"encoder_tuning": {"kind": "full", "rank": 4}},
            "encoder_tuning.full.rank",
            id="rank",
        ),
        pytest.param({"decoder": "unet"}, "decoder", id="decoder"),
        pytest.param(
            {"decoder": {"kind": "classwise", "classes": ["water", "other", "other"]}},
            "named twice",
            id="class-twice",
        ),
        pytest.param(
            {"decoder": {"kind": "classwise", "classes": ["mud", "other"], "road": []}},
            "name water, which is not in 'classes'",
            id="no-water",
        ),
        pytest.param(
            {"decoder": {"kind": "classwise", "classes": ["water", "dry"], "road": ["dry"]}},
            "neither 'water' nor 'road'",
            id="nothing-but-road",
        ),
        pytest.param({"spatial_prompt": {"kind": "circle"}}, "'mask'", id="kind"),
        pytest.param(
            {"spatial_prompt": {"kind": "box", "threshold": 0.0}}, "greater than 0", id="tau"
        ),
        pytest.param(
            {"semantic_prompt": {"prototypes_per_class": 0}}, "greater than", id="prototypes"
        ),
        pytest.param({"style": True}, "Extra inputs", id="unknown-key"),
        pytest.param(
            {"small_model_say": 0.5, "spatial_prompt": None},
            "'small_model_say' needs a 'spatial_prompt'",
            id="say",
        ),
        pytest.param({"small_model_say": 1.0}, "less than 1", id="no-decoder"),
    ],
)
def test_a_choice_that_makes_no_model_is_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelParts.model_validate(changed(**fields))


def test_every_part_has_to_be_chosen_or_left_out_by_name() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelParts.model_validate({})
    missing = {error["loc"][0] for error in caught.value.errors()}
    not_in_the_paper = {"small_model_say", "block_adapters", "encoder_tuning", "decoder"}
    assert missing == set(ModelParts.model_fields) - not_in_the_paper


def test_parts_survive_json() -> None:
    for parts in (EVERYTHING, NO_PROMPTS):
        assert ModelParts.model_validate_json(json.dumps(parts.model_dump())) == parts


def test_without_an_adapter_nothing_is_equalised() -> None:
    assert EVERYTHING.equalisation == "rgb"
    plain = EVERYTHING.model_copy(update={"encoder_adapter": None})
    assert plain.equalisation == "off"


def test_spm_alone_means_matchers_as_published_for_little_data() -> None:
    short = ModelParts.model_validate(changed(encoder_adapter="spm"))
    assert isinstance(short.encoder_adapter, MatcherParts)
    assert (short.encoder_adapter.prompted_stages, short.equalisation) == ((1, 2, 3, 4), "off")
    assert ModelParts.model_validate_json(json.dumps(short.model_dump())) == short


def test_only_prompts_need_a_second_stage() -> None:
    assert EVERYTHING.has_prompts
    assert not NO_PROMPTS.has_prompts
    assert ModelParts.model_validate(changed(small_model=None, spatial_prompt=None)).has_prompts


def test_classwise_alone_means_five_classes_of_which_one_is_water() -> None:
    short = ModelParts.model_validate(changed(decoder="classwise"))
    assert short.classes == ("other", "dry_road", "wet_road", "water", "vehicle")
    assert short.decoder is not None
    assert short.decoder.water_index == 3
    assert ModelParts.model_validate(short.model_dump()) == short
    assert ModelParts.model_validate(changed()).classes == ("water",)
