"""Recipes: everything that decides what a training run does, in one YAML file.

Unknown keys are errors, because a misspelt key that is ignored trains another model than the
one that was meant.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lsm_monitor.model.parts import ModelParts
from lsm_train.surfaces import class_of_surface

RENDERED, SIMULATED = "rendered", "simulated"


class Section(BaseModel):
    """Base of every section: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceSection(Section):
    """Where a share of the training samples comes from.

    Kinds: ``pictures`` takes them as they are; ``dried`` lays dry ground over the water of
    flooded pictures; ``flooded`` lays water over dry roads; ``wet`` makes dry roads shiny,
    which is still dry.
    """

    kind: Literal["pictures", "dried", "flooded", "wet"]
    datasets: tuple[str, ...] = Field(min_length=1, description="The pictures to start from.")
    donors: tuple[str, ...] = Field(
        default=(), description="Whose ground or water is borrowed: 'dried', 'flooded' only."
    )
    share: float = Field(gt=0.0, description="Share of the samples; shares need not add to 1.")

    @model_validator(mode="after")
    def _borrows_what_it_needs(self) -> Self:
        if bool(self.donors) != (self.kind in {"dried", "flooded"}):
            msg = f"kind {self.kind!r} {'takes no' if self.donors else 'needs'} 'donors'"
            raise ValueError(msg)
        return self


class SelfTrainingSection(Section):
    """Pictures without masks, labelled by the small model.

    While the small model is trained, its average labels them once; the other stages get the
    labels of the finished small model.
    """

    dataset: str
    share: float = Field(gt=0.0)
    from_epoch: int = Field(ge=1, description="Of the small model's training.")
    water_above: float = Field(gt=0.5, lt=1.0, description="Probability that becomes water.")
    dry_below: float = Field(gt=0.0, lt=0.5, description="Probability that becomes dry.")


class RenderedSection(Section):
    """The data set ``rendered``: streets drawn by the demo's scene, with exact masks."""

    streets: int = Field(ge=1)
    pictures_per_street: int = Field(ge=1)
    validation_streets: int = Field(
        default=0, ge=0, description="Further streets, which only calibration looks at."
    )


class SimulatedSection(Section):
    """The data set ``simulated``: photographed dry roads, flooded or wetted by computation."""

    datasets: tuple[str, ...] = Field(min_length=1, description="Those with road masks.")
    pictures: int = Field(ge=1)


class OptimiserSection(Section):
    """Optimiser with linear warm-up and cosine decay."""

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = Field(gt=0.0)
    pretrained_factor: float = Field(
        default=1.0, gt=0.0, le=1.0, description="On the learning rate of pretrained layers."
    )
    weight_decay: float = Field(default=0.0, ge=0.0)
    warmup_steps: int = Field(default=0, ge=0)
    final_learning_rate: float = Field(default=0.0, ge=0.0)
    max_gradient_norm: float = Field(default=5.0, gt=0.0)


Weight = Annotated[float, Field(ge=0.0)]


class LossesSection(Section):
    """Weights of the large model's losses, Eq. 7 and 8."""

    focal: float = Field(default=1.0, ge=0.0)
    cross_entropy: float = Field(default=1.0, ge=0.0)
    iou: float = Field(default=1.0, ge=0.0)
    prototype_contrast: float = Field(default=0.01, ge=0.0)
    prototype_distance: float = Field(default=0.001, ge=0.0)
    small: float = Field(default=1.0, ge=0.0, description="Lambda, one-stage training only.")
    interim: tuple[Weight, Weight, Weight, Weight, Weight] = Field(
        default=(0.05, 0.1, 0.2, 0.3, 0.4),
        description="Of semantic maps, before each stage, the head's last: SPM's a_i R.",
    )


class ClassesSection(Section):
    """How a class-wise decoder is taught."""

    dry_roads: tuple[str, ...] = Field(
        default=(), description="Data sets whose roads, where road masks show them, are dry."
    )
    weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(
        default={}, description="Of classes in focal loss and cross-entropy; 1 without one."
    )


class PromptNoiseSection(Section):
    """How the small model's logits are disturbed before they prompt; see ``prompt_noise``."""

    confidence: float = Field(ge=0.0, description="They are scaled by up to exp(+-this).")
    error: float = Field(ge=0.0, description="Standard deviation of bias and blobs, in logits.")
    dropped_share: float = Field(ge=0.0, lt=1.0, description="Of pictures with no mask at all.")


class StageSection(Section):
    """How long and how one stage is trained.

    A step is one update of the weights: ``accumulate`` batches of ``batch_size`` pictures on
    each process.
    """

    epochs: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(default=1, ge=1)
    optimiser: OptimiserSection
    losses: LossesSection = LossesSection()
    ema_decay: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="Of the averaged weights, per step; 0 averages nothing.",
    )
    patience_epochs: int | None = Field(
        default=None, ge=1, description="Stop when val IoU has not grown for so many epochs."
    )
    prompt_noise: PromptNoiseSection | None = Field(
        default=None, description="Stage 'joint' only: the small model is frozen there."
    )


class StagesSection(Section):
    """Two-stage training is ``small``, ``large`` and, with prompts, ``joint``.

    One-stage training is ``one_stage`` alone.
    """

    small: StageSection | None = None
    large: StageSection | None = None
    joint: StageSection | None = None
    one_stage: StageSection | None = None

    @model_validator(mode="after")
    def _is_one_strategy(self) -> Self:
        for name in ("small", "large", "one_stage"):
            stage: StageSection | None = getattr(self, name)
            if stage is not None and stage.prompt_noise is not None:
                msg = f"'prompt_noise' belongs to stage 'joint', not to {name!r}"
                raise ValueError(msg)
        two_stage = [stage for stage in (self.small, self.large, self.joint) if stage]
        if bool(self.one_stage) == bool(two_stage):
            msg = "name either 'one_stage' alone, or 'small', 'large' and 'joint'"
            raise ValueError(msg)
        return self


class Recipe(Section):
    """One training run."""

    name: str = Field(description="Name of the bundle.")
    version: str = Field(description="Version of the bundle.")
    model: ModelParts
    train_size_px: int = Field(ge=32, multiple_of=32, description="Input while training.")
    threads: int = Field(
        default=0, ge=0, description="CPU threads; 0 leaves the choice to torch."
    )
    precision: Literal["bf16", "fp32"] = Field(
        default="bf16", description="Arithmetic of forward passes; weights are always fp32."
    )
    checkpoint_blocks: bool = Field(
        default=False, description="Keep less in memory, compute more: SAM encoders only."
    )
    stages: StagesSection
    sources: tuple[SourceSection, ...] = Field(min_length=1)
    rendered: RenderedSection | None = None
    simulated: SimulatedSection | None = None
    self_training: SelfTrainingSection | None = None
    classes: ClassesSection = Field(
        default=ClassesSection(), description="Only for 'model.decoder: classwise'."
    )
    validation: tuple[str, ...] = Field(min_length=1, description="Data sets, their val part.")
    licences: dict[str, str] = Field(description="Licence of each data set that is trained on.")

    @model_validator(mode="after")
    def _every_data_set_has_a_licence(self) -> Self:
        missing = sorted(self.training_datasets - self.licences.keys())
        if missing:
            msg = f"'licences' does not name {', '.join(missing)}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _classes_can_be_taught(self) -> Self:
        if self.model.decoder is None:
            if self.classes != ClassesSection():
                msg = "'classes' needs 'model.decoder: classwise'"
                raise ValueError(msg)
            return self
        if self.model.decoder.water != "water":
            msg = f"the class of water must be called 'water', not {self.model.decoder.water!r}"
            raise ValueError(msg)
        class_of_surface(self.model.classes)
        strangers = sorted(self.classes.weights.keys() - set(self.model.classes))
        if strangers:
            msg = f"'classes.weights' names {', '.join(strangers)}, which the model has not"
            raise ValueError(msg)
        strangers = sorted(set(self.classes.dry_roads) - self.training_datasets)
        if strangers:
            msg = f"'classes.dry_roads' names {', '.join(strangers)}, which nobody trains on"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _made_pictures_are_used(self) -> Self:
        for name in (RENDERED, SIMULATED):
            if (getattr(self, name) is not None) != (name in self.training_datasets):
                msg = f"section {name!r} and the data set of that name need each other"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _stages_train_what_the_model_has(self) -> Self:
        if self.stages.one_stage is not None:
            return self
        wanted = {
            "small": self.model.small_model is not None,
            "large": True,
            "joint": self.model.has_prompts,
        }
        for name, is_wanted in wanted.items():
            if is_wanted != (getattr(self.stages, name) is not None):
                verb = "needs" if is_wanted else "has nothing to train in"
                msg = f"this model {verb} 'stages.{name}'"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _large_slows_down_what_it_learns(self) -> Self:
        large, tuning = self.stages.large, self.model.encoder_tuning
        slows_down = large is not None and large.optimiser.pretrained_factor < 1.0
        if slows_down and (tuning is None or tuning.kind != "full"):
            msg = (
                "'stages.large.optimiser.pretrained_factor' needs 'model.encoder_tuning' of "
                "kind 'full': without it nothing pretrained learns in that stage"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _self_training_is_possible(self) -> Self:
        if self.self_training is None:
            return self
        if self.stages.small is None:
            msg = "'self_training' needs 'stages.small': the small model labels its pictures"
            raise ValueError(msg)
        sources = {
            name for source in self.sources for name in (*source.datasets, *source.donors)
        }
        for section, names in (("sources", sources), ("validation", self.validation)):
            if self.self_training.dataset in names:
                msg = f"{self.self_training.dataset!r} is in {section!r} and 'self_training'"
                raise ValueError(msg)
        return self

    @property
    def training_datasets(self) -> frozenset[str]:
        """Every data set that pictures are taken from for training."""
        names = {name for source in self.sources for name in (*source.datasets, *source.donors)}
        if self.self_training is not None:
            names.add(self.self_training.dataset)
        if self.simulated is not None:
            names.update(self.simulated.datasets)
        return frozenset(names)
