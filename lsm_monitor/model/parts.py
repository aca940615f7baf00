"""The choices that make a model: what a recipe asks for and what a bundle was made of.

Every part of LSM-Adapter can be left out, so the paper's ablation (its Table 3) is a list of
these: no adapter is plain SAM, an adapter without equalisation and without prompts is
SAM-Adapter, everything is LSM-Adapter. Names are resolved by :mod:`lsm_monitor.model.build`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Equalisation = Literal["rgb", "luma", "clahe", "off"]


class _Parts(BaseModel):
    """Base of all sections: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderAdapterParts(_Parts):
    """HE-Adapt: the picture's fine structure, added before each block of the encoder."""

    kind: Literal["he"]
    equalisation: Equalisation = Field(
        default="rgb",
        description="Histogram equalisation before the filter; 'off' is SAM-Adapter.",
    )
    removed_share: float = Field(
        default=0.25, ge=0.0, lt=1.0, description="Low frequencies removed, as a share of all."
    )


class SpatialPromptParts(_Parts):
    """Where the small model sees water."""

    kind: Literal["mask", "box", "points"]
    threshold: float = Field(
        default=0.5,
        gt=0.0,
        lt=1.0,
        description="Probability that counts as water: box, points.",
    )
    grid: int = Field(
        default=8, ge=1, le=32, description="Cells per side, one point in each: points."
    )
    boxes: Literal["one", "per_component"] = Field(
        default="one",
        description="One box round all water, or one for each connected piece: box.",
    )


class SemanticPromptParts(_Parts):
    """What water looks like to the large model, learned as prototypes."""

    prototypes_per_class: int = Field(default=10, ge=1, le=64)
    foreground_only: bool = Field(
        default=False, description="Leave out the token of dry ground."
    )


class ModelParts(_Parts):
    """One model.

    ``null`` switches a part off. The style prompt and the combiner have no settings of their
    own.
    """

    image_encoder: str
    input_size_px: int = Field(ge=32, le=4096, multiple_of=32, description="Side of the input.")
    encoder_adapter: EncoderAdapterParts | None
    small_model: str | None
    spatial_prompt: SpatialPromptParts | None
    semantic_prompt: SemanticPromptParts | None
    style_prompt: bool
    prompt_combiner: bool = Field(description="Learned weights and an adaptive token (DPC).")
    small_model_say: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Weight of the small model's logits in the answer, next to the decoder's.",
    )

    @model_validator(mode="after")
    def _spatial_prompts_need_a_small_model(self) -> Self:
        if self.spatial_prompt is not None and self.small_model is None:
            msg = "'spatial_prompt' needs a 'small_model'"
            raise ValueError(msg)
        if self.small_model_say and self.spatial_prompt is None:
            msg = "'small_model_say' needs a 'spatial_prompt': without one nobody asks it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _combiners_need_prompts(self) -> Self:
        if self.prompt_combiner and not self.has_prompts:
            msg = "'prompt_combiner' needs a prompt to combine"
            raise ValueError(msg)
        return self

    @property
    def has_prompts(self) -> bool:
        """Whether there is anything for a second training stage to learn."""
        return bool(self.spatial_prompt or self.semantic_prompt or self.style_prompt)

    @property
    def equalisation(self) -> Equalisation:
        """Histogram equalisation that preprocessing must do."""
        return "off" if self.encoder_adapter is None else self.encoder_adapter.equalisation
