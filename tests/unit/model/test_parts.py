from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lsm_monitor.model.parts import ModelParts
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
        pytest.param({"encoder_adapter": {"kind": "lora"}}, "should be 'he'", id="adapter"),
        pytest.param(
            {"encoder_adapter": {"kind": "he", "equalisation": "hsv"}},
            "'rgb'",
            id="equalisation",
        ),
        pytest.param(
            {"encoder_adapter": {"kind": "he", "removed_share": 1.0}}, "less than 1", id="share"
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
    assert missing == set(ModelParts.model_fields) - {"small_model_say"}  # not in the paper


def test_parts_survive_json() -> None:
    for parts in (EVERYTHING, NO_PROMPTS):
        assert ModelParts.model_validate_json(json.dumps(parts.model_dump())) == parts


def test_without_an_adapter_nothing_is_equalised() -> None:
    assert EVERYTHING.equalisation == "rgb"
    plain = EVERYTHING.model_copy(update={"encoder_adapter": None})
    assert plain.equalisation == "off"


def test_only_prompts_need_a_second_stage() -> None:
    assert EVERYTHING.has_prompts
    assert not NO_PROMPTS.has_prompts
    assert ModelParts.model_validate(changed(small_model=None, spatial_prompt=None)).has_prompts
