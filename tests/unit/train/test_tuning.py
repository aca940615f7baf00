"""Tuning the image encoder: what moves, what it starts from, and where it ends up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lsm_monitor.model.build import build_model
from lsm_monitor.model.bundle import load_bundle
from lsm_monitor.model.graphs import encoder_graph
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.parts import ModelParts
from lsm_monitor.model.storage import pack, unpack
from lsm_train import fit as fit_module
from lsm_train.checkpoint import Run, load_progress, read_run
from lsm_train.config import LossesSection, OptimiserSection, Recipe
from lsm_train.data import Picture
from lsm_train.errors import RunError
from lsm_train.export import export
from lsm_train.fit import fit, load_run
from lsm_train.optimise import make_optimiser
from lsm_train.recipe_file import load_recipe
from lsm_train.samples import Source
from lsm_train.stages import Stage, StageName, trained_state
from lsm_train.tuning import prepare_tuning, tuned_parameters
from tests.unit.model.models import EVERYTHING, lively_model, noise, run, shrink_sam
from tests.unit.train.conftest import REPOSITORY, EditRecipe
from tests.unit.train.test_loop import Interrupted, train
from tests.unit.train.test_loop import noise as noise_source

LOW_RANK, FULL = {"kind": "low_rank", "rank": 2}, {"kind": "full"}
TUNINGS = [pytest.param(LOW_RANK, id="low-rank"), pytest.param(FULL, id="full")]
ENCODERS = ["efficientnet_lite0", "sam_vit_b"]
ENCODER = "encoder.image_encoder."
RECIPES = REPOSITORY / "config" / "train" / "ablation"

Tuning = dict[str, Any]
TunedRecipe = Callable[[Tuning | None], Recipe]


@pytest.fixture(autouse=True)
def _every_sam_is_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_sam(monkeypatch)


def parts_of(encoder: str, tuning: Tuning | None) -> ModelParts:
    changes = {"image_encoder": encoder, "encoder_tuning": tuning}
    return ModelParts.model_validate(EVERYTHING.model_dump() | changes)


def tuned_model(encoder: str, tuning: Tuning) -> LsmAdapter:
    model = lively_model(parts_of(encoder, tuning))
    torch.manual_seed(0)
    prepare_tuning(model)
    return model


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_tuned_encoder_starts_as_the_frozen_one_bit_for_bit(
    encoder: str, tuning: Tuning
) -> None:
    frozen = lively_model(parts_of(encoder, None))
    tuned = tuned_model(encoder, tuning)
    assert torch.equal(run(tuned, noise(2)).logits, run(frozen, noise(2)).logits)


def step(stage: Stage, optimiser: torch.optim.Optimizer) -> None:
    labels = torch.zeros(2, 64, 64, dtype=torch.uint8)
    labels[:, 32:] = 1
    stage.set_training_mode()
    optimiser.zero_grad()
    stage(noise(2), noise(2, seed=3), labels).backward()
    optimiser.step()


@pytest.mark.parametrize(
    ("name", "is_tuned"), [("small", False), ("large", True), ("joint", False)]
)
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_only_the_stages_that_teach_the_encoder_move_it_and_only_what_is_tuned(
    encoder: str, tuning: Tuning, *, name: StageName, is_tuned: bool
) -> None:
    model = tuned_model(encoder, tuning)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    stage = Stage(name, model, LossesSection())
    optimiser = make_optimiser(stage, OptimiserSection(learning_rate=1e-3))
    for _ in range(2):  # the first gives one factor of each update its value, for the other
        step(stage, optimiser)
    after = model.state_dict()
    moved = {key for key in after if not torch.equal(after[key], before[key])}
    tuned = set(tuned_parameters(model)) if is_tuned else set()
    assert {key for key in moved if key.startswith(ENCODER)} == tuned
    assert {key for key in trained_state(name, model) if key.startswith(ENCODER)} == tuned
    assert not is_tuned or tuned


def test_what_is_tuned_is_every_parameter_or_the_factors_alone() -> None:
    full = tuned_model("efficientnet_lite0", FULL)
    names = {f"{ENCODER}{name}" for name, _ in full.encoder.image_encoder.named_parameters()}
    assert set(tuned_parameters(full)) == names
    low_rank = tuned_parameters(tuned_model("efficientnet_lite0", LOW_RANK))
    assert {name.rpartition(".")[2] for name in low_rank} == {"up", "down"}
    assert {p.shape[1 if n.endswith("down") else 2] for n, p in low_rank.items()} == {2}
    assert tuned_parameters(build_model(EVERYTHING)) == {}


@pytest.mark.parametrize("name", ["large", "one_stage"])
def test_pretrained_weights_learn_more_slowly_and_fresh_factors_do_not(name: StageName) -> None:
    settings = OptimiserSection(learning_rate=0.1, pretrained_factor=0.5)
    for tuning, expected in ((FULL, 0.05), (LOW_RANK, 0.1)):
        model = tuned_model("efficientnet_lite0", tuning)
        groups = make_optimiser(Stage(name, model, LossesSection()), settings).param_groups
        rates = {id(p): group["base"] for group in groups for p in group["params"]}
        assert {rates[id(p)] for p in tuned_parameters(model).values()} == {expected}
        assert rates[id(model.head.mask_decoder.mask_tokens.weight)] == 0.1


def test_only_full_tuning_needs_the_gradients_of_float32() -> None:
    stages: tuple[StageName, ...] = ("large", "one_stage", "joint")
    found = {
        str(tuning["kind"]): [
            Stage(
                name, tuned_model("efficientnet_lite0", tuning), LossesSection()
            ).trains_in_bf16
            for name in stages
        ]
        for tuning in (LOW_RANK, FULL)
    }
    assert found == {"low_rank": [True, True, True], "full": [False, False, True]}


@pytest.fixture
def tuned_recipe(edit_recipe: EditRecipe) -> TunedRecipe:
    """Return a recipe of one stage whose single steps outlast a bundle's rounding."""

    def make(tuning: Tuning | None) -> Recipe:
        def edit(content: dict[str, Any]) -> None:
            model = content["model"]
            model |= dict.fromkeys(("small_model", "spatial_prompt", "semantic_prompt"))
            model |= {"style_prompt": False, "prompt_combiner": False, "small_model_say": 0}
            model |= {"encoder_adapter": None, "encoder_tuning": tuning}
            large: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 1, "batch_size": 2}
            large["optimiser"] = {"learning_rate": 0.02}
            content["stages"] = {"large": content["stages"]["large"] | large}
            content["sources"] = content["sources"][:1]
            content["rendered"] = content["simulated"] = content["self_training"] = None
            content["licences"].pop("roadway_unlabelled")

        return edit_recipe(edit)

    return make


@pytest.mark.parametrize("tuning", [None, LOW_RANK, FULL])
def test_slowing_down_pretrained_weights_that_nobody_teaches_is_refused(
    tuning: Tuning | None, edit_recipe: EditRecipe
) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["model"]["encoder_tuning"] = tuning
        content["stages"]["large"]["optimiser"]["pretrained_factor"] = 0.5

    key = r"'stages\.large\.optimiser\.pretrained_factor' needs 'model\.encoder_tuning'"
    if tuning == FULL:
        assert edit_recipe(edit).model.encoder_tuning is not None
    else:
        with pytest.raises(ValidationError, match=key):
            edit_recipe(edit)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_an_interrupted_tuning_ends_bit_for_bit_as_one_that_was_not(
    tuning: Tuning, tuned_recipe: TunedRecipe, tmp_path: Path
) -> None:
    recipe = tuned_recipe(tuning)

    def trained(folder: str, sources: Callable[..., Sequence[Source]] = noise_source) -> Run:
        at = Run(tmp_path / folder, recipe, seed=0)
        at.folder.mkdir(exist_ok=True)
        train(at, "large", fit_module._build(recipe, 0), sources)
        return at

    def breaks_in_the_second_epoch(epoch: int, averaged: LsmAdapter) -> Sequence[Source]:
        return [Source(break_off, 1.0)] if epoch == 1 else noise_source(epoch, averaged)

    def break_off(_: np.random.Generator) -> Picture:
        raise Interrupted

    straight = load_progress(trained("straight").folder / "large")
    with pytest.raises(Interrupted):
        trained("interrupted", breaks_in_the_second_epoch)
    resumed = load_progress(trained("interrupted").folder / "large")
    assert straight is not None
    assert resumed is not None
    assert resumed.steps == straight.steps == 2
    assert resumed.tensors.keys() == straight.tensors.keys()
    assert any(key.startswith(f"averaged.{ENCODER}") for key in straight.tensors)
    for key, tensor in straight.tensors.items():
        assert torch.equal(resumed.tensors[key], tensor), key


@pytest.mark.slow
@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_bundle_carries_the_tuned_encoder_as_a_plain_one(
    tuning: Tuning, tuned_recipe: TunedRecipe, shared_data: Path, tmp_path: Path
) -> None:
    fit(tuned_recipe(tuning), data=shared_data, out=tmp_path / "run", seed=0, device="cpu")
    manifest = export(tmp_path / "run", data=shared_data, out=tmp_path / "bundle")
    assert manifest.parts.encoder_tuning is not None
    assert manifest.parts.encoder_tuning.kind == tuning["kind"]
    loaded = load_bundle(tmp_path / "bundle").model
    of_run, _ = load_run(read_run(tmp_path / "run"))
    of_run.load_state_dict(unpack(pack(of_run.state_dict())))
    assert loaded.state_dict().keys() == of_run.state_dict().keys()
    assert torch.equal(run(loaded, noise(2)).logits, run(of_run, noise(2)).logits)

    frozen = fit_module._build(tuned_recipe(None), 0)
    assert loaded.state_dict().keys() == frozen.state_dict().keys()
    frozen.load_state_dict(unpack(pack(frozen.state_dict())))
    old, new = (each.encoder.image_encoder for each in (frozen, loaded))
    maps = zip(old.eval()(noise(1)), new(noise(1)), strict=True)
    assert not any(torch.allclose(before, after) for before, after in maps)
    assert encoder_graph(loaded).fingerprint != encoder_graph(frozen).fingerprint


def test_a_run_of_another_rank_is_not_gone_on_with(
    tuned_recipe: TunedRecipe, tmp_path: Path
) -> None:
    of_two = Run(tmp_path, tuned_recipe(LOW_RANK), seed=0)
    train(of_two, "large", fit_module._build(of_two.recipe, 0))
    for other in (LOW_RANK | {"rank": 3}, FULL, None):
        with pytest.raises(RunError, match="is of another model than this recipe's"):
            load_run(Run(tmp_path, tuned_recipe(other), seed=0))


@pytest.mark.parametrize(
    ("row", "tuning"), [("low_rank", {"kind": "low_rank", "rank": 4}), ("full", FULL)]
)
def test_the_tuned_rows_differ_from_the_frozen_one_in_their_tuning_alone(
    row: str, tuning: Tuning
) -> None:
    none, tuned = (load_recipe(RECIPES / f"spm_{name}.yaml") for name in ("none", row))
    assert tuned.model.encoder_tuning is not None
    assert tuned.model.encoder_tuning.model_dump() == tuning
    assert none.stages.large is not None
    assert tuned.stages.large is not None
    factor = tuned.stages.large.optimiser.pretrained_factor
    assert (factor < 1.0) == (row == "full")
    content = tuned.model_dump() | {"name": none.name}
    content["model"]["encoder_tuning"] = None
    content["stages"]["large"]["optimiser"]["pretrained_factor"] = 1.0
    assert content == none.model_dump()
