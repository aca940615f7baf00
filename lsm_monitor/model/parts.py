"""The choices that make a model: what a recipe asks for and what a bundle was made of.

Every part of LSM-Adapter can be left out, so the paper's ablation (its Table 3) is a list of
these: no adapter is plain SAM, an adapter without equalisation and without prompts is
SAM-Adapter, everything is LSM-Adapter. Names are resolved by :mod:`lsm_monitor.model.build`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    model_validator,
)

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
    band: Literal["high", "low"] = Field(
        default="high",
        description="'low': the adapter sees only what 'high' removes (ClassWise-SAM-Adapter).",
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.band == "low" and not self.removed_share:
            msg = "'band: low' needs a 'removed_share' above 0: it is what is kept"
            raise ValueError(msg)
        return self


class MatcherParts(_Parts):
    """Prompts between the encoder's stages (SPM); the stages are run as they are."""

    kind: Literal["spm"]
    prompted_stages: tuple[Annotated[int, Field(ge=1, le=5)], ...] = Field(
        default=(1, 2, 3, 4),
        min_length=1,
        description="Before which stages a matcher stands; the head counts as one, the last.",
    )
    recurrences: int = Field(default=1, ge=1, le=3, description="R: how often each repeats.")
    channels: int = Field(default=64, ge=4, le=512, description="C: its inner width.")
    groups: int = Field(default=16, ge=1, description="Of its dilated convolutions.")
    dilations: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(1, 2, 4, 8), description="Of its dilated convolutions, in pixels."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.channels % (4 * self.groups):
            msg = f"'channels' must be a multiple of 4 'groups', {4 * self.groups}"
            raise ValueError(msg)
        if len(set(self.prompted_stages)) < len(self.prompted_stages):
            msg = "'prompted_stages' names a stage twice"
            raise ValueError(msg)
        return self


def _full_adapter(value: object) -> object:
    """``spm`` alone means matchers as published for little data."""
    return {"kind": "spm"} if value == "spm" else value


class LowRankTuningParts(_Parts):
    """Low-rank updates of the encoder's own weights (LoRA), in the end added into them."""

    kind: Literal["low_rank"]
    rank: int = Field(default=4, ge=1, le=64, description="Of the updates.")


class FullTuningParts(_Parts):
    """All of the encoder's own weights; batch norm keeps the statistics it came with."""

    kind: Literal["full"]


EncoderTuningParts = LowRankTuningParts | FullTuningParts


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


class ClassWiseParts(_Parts):
    """A decoder of several classes, one of which is water."""

    kind: Literal["classwise"]
    classes: tuple[str, ...] = Field(
        default=("other", "dry_road", "wet_road", "water", "vehicle"), min_length=2
    )
    water: str = Field(default="water", description="The class that is water.")
    road: tuple[str, ...] = Field(
        default=("dry_road", "wet_road"),
        description="The classes that are road without standing water; may be empty.",
    )

    @model_validator(mode="after")
    def _roles_are_classes(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            msg = f"a class is named twice: {', '.join(self.classes)}"
            raise ValueError(msg)
        strangers = [name for name in (self.water, *self.road) if name not in self.classes]
        if strangers:
            msg = f"'water' and 'road' name {', '.join(strangers)}, which is not in 'classes'"
            raise ValueError(msg)
        if self.water in self.road or len({self.water, *self.road}) == len(self.classes):
            msg = "one class at least must be neither 'water' nor 'road', and none both"
            raise ValueError(msg)
        return self

    @property
    def water_index(self) -> int:
        """Which of the classes is water."""
        return self.classes.index(self.water)


def _full_decoder(value: object) -> object:
    """``classwise`` alone means that decoder with its default classes."""
    return {"kind": "classwise"} if value == "classwise" else value


class ModelParts(_Parts):
    """One model.

    ``null`` switches a part off. The style prompt and the combiner have no settings of their
    own.
    """

    image_encoder: str
    input_size_px: int = Field(ge=32, le=4096, multiple_of=32, description="Side of the input.")
    encoder_adapter: Annotated[
        Annotated[EncoderAdapterParts | MatcherParts, Field(discriminator="kind")] | None,
        BeforeValidator(_full_adapter),
    ]
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

    block_adapters: bool = Field(
        default=False, description="Adapters inside the encoder's blocks, too."
    )
    encoder_tuning: Annotated[EncoderTuningParts, Field(discriminator="kind")] | None = Field(
        default=None, description="How training changes the encoder itself; 'null': not."
    )
    decoder: Annotated[ClassWiseParts | None, BeforeValidator(_full_decoder)] = Field(
        default=None, description="'null': SAM's mask decoder, which knows water alone."
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
    def _frozen_stages_stay_frozen(self) -> Self:
        if isinstance(self.encoder_adapter, MatcherParts) and self.block_adapters:
            msg = "'block_adapters' change the stages that 'encoder_adapter: spm' leaves alone"
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
    def classes(self) -> tuple[str, ...]:
        """What the model tells apart; a model of one class tells it from everything else."""
        return ("water",) if self.decoder is None else self.decoder.classes

    @property
    def interim_classes(self) -> tuple[str, ...]:
        """What the semantic maps between the stages tell apart."""
        return ("other", "water") if self.decoder is None else self.decoder.classes

    @property
    def equalisation(self) -> Equalisation:
        """Histogram equalisation that preprocessing must do."""
        adapter = self.encoder_adapter
        return adapter.equalisation if isinstance(adapter, EncoderAdapterParts) else "off"
