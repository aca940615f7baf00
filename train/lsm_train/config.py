"""Recipes: everything that decides what a training run does, in one YAML file.

Unknown keys are errors, because a misspelt key that is ignored trains another model than the
one that was meant. An error names the file, the line and the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lsm_train.errors import RecipeError

Location = tuple[str | int, ...]

RENDERED = "rendered"


class _Section(BaseModel):
    """Base of every section: immutable and strict about keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    """Parts of the model, by the names in ``lsm_monitor.model.build``."""

    image_encoder: str
    small_model: str
    input_size_px: int = Field(ge=32, multiple_of=32, description="Input of the daemon.")


class SourceSection(_Section):
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


class SelfTrainingSection(_Section):
    """Pictures without masks, labelled by the model itself while it trains."""

    dataset: str
    share: float = Field(gt=0.0)
    label_at_epochs: tuple[int, ...] = Field(
        min_length=1, description="Epochs that begin with labelling all pictures afresh."
    )
    water_above: float = Field(gt=0.5, lt=1.0, description="Probability that becomes water.")
    dry_below: float = Field(gt=0.0, lt=0.5, description="Probability that becomes dry.")


class RenderedSection(_Section):
    """The data set ``rendered``: streets drawn by the demo's scene, with exact masks."""

    streets: int = Field(ge=1)
    pictures_per_street: int = Field(ge=1)


class OptimiserSection(_Section):
    """AdamW with warm-up and cosine decay to zero."""

    learning_rate: float = Field(gt=0.0, description="Small model.")
    encoder_learning_rate: float = Field(gt=0.0, description="Unfrozen encoder stages.")
    weight_decay: float = Field(ge=0.0)
    warmup_steps: int = Field(ge=0)
    ema_decay: float = Field(gt=0.0, lt=1.0, description="Of the averaged weights, per step.")


class Recipe(_Section):
    """One training run."""

    name: str = Field(description="Name of the bundle.")
    version: str = Field(description="Version of the bundle.")
    model: ModelSection
    frozen_stages: int = Field(ge=0, le=7, description="First encoder stages left untouched.")
    train_size_px: int = Field(ge=32, multiple_of=32, description="Input while training.")
    epochs: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    threads: int = Field(ge=1, description="CPU threads.")
    optimiser: OptimiserSection
    sources: tuple[SourceSection, ...] = Field(min_length=1)
    rendered: RenderedSection | None = None
    self_training: SelfTrainingSection | None = None
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
    def _rendered_pictures_are_used(self) -> Self:
        if (self.rendered is not None) != (RENDERED in self.training_datasets):
            msg = f"section 'rendered' and the data set {RENDERED!r} need each other"
            raise ValueError(msg)
        return self

    @property
    def training_datasets(self) -> frozenset[str]:
        """Every data set that pictures are taken from for training."""
        names = {name for source in self.sources for name in (*source.datasets, *source.donors)}
        if self.self_training is not None:
            names.add(self.self_training.dataset)
        return frozenset(names)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        RecipeError: With one line for each problem.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        msg = f"{path}: cannot be read ({exc})"
        raise RecipeError(msg) from exc
    try:
        return Recipe.model_validate(content)
    except ValidationError as exc:
        lines = dict(_lines(root)) if root is not None else {}
        problems = []
        for error in exc.errors():
            location = error["loc"]
            line = lines.get(location) or lines.get(location[:-1]) or 1
            text = error["msg"].removeprefix("Value error, ")
            if error["type"] == "extra_forbidden":
                text = "unknown key"
            problems.append(f"{path}:{line}: {'.'.join(map(str, location))}: {text}")
        raise RecipeError("\n".join(problems)) from None


def _lines(node: yaml.Node, at: Location = ()) -> Iterator[tuple[Location, int]]:
    """Yield the 1-based line of every key and item below ``node``."""
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*at, key.value))
            yield (*at, key.value), key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*at, index))
