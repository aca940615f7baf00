"""The training loop of a stage, on a tiny model and noise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train import loop
from lsm_train.checkpoint import (
    Progress,
    Run,
    flatten_optimiser,
    load_progress,
    restore_optimiser,
)
from lsm_train.config import LossesSection, OptimiserSection
from lsm_train.data import Picture
from lsm_train.distributed import Process
from lsm_train.errors import RunError
from lsm_train.loop import train_stage
from lsm_train.optimise import learning_rate_factor, make_optimiser
from lsm_train.samples import Batch, Source
from lsm_train.stages import TRAINED, Stage, StageName
from tests.unit.train.conftest import EditRecipe

ALONE = Process(0, 1, torch.device("cpu"))
STAGES: tuple[StageName, ...] = ("small", "large", "joint", "one_stage")
MakeRun = Callable[..., Run]


class Interrupted(Exception):  # noqa: N818 - what it is
    """The power cut of these tests."""


@pytest.fixture
def make_run(tmp_path: Path, edit_recipe: EditRecipe) -> MakeRun:
    """Return a run in a folder of its own that trains ``name``, with settings of the stage."""

    def make(name: StageName, folder: str = "run", **settings: object) -> Run:
        def edit(content: dict[str, Any]) -> None:
            stages = content["stages"]
            if name == "one_stage":
                content["stages"] = {"one_stage": stages["joint"]}
                del content["self_training"]
            content["stages"][name] |= {"batch_size": 2, "steps_per_epoch": 1, **settings}

        run = Run(tmp_path / folder, edit_recipe(edit), seed=0)
        run.folder.mkdir()
        return run

    return make


def noise_picture(rng: np.random.Generator) -> Picture:
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    return Picture("", "noise", image, (image[..., 0] > 127).astype(np.uint8))


def noise(_epoch: int, _model: LsmAdapter) -> Sequence[Source]:
    return [Source(noise_picture, 1.0)]


VALIDATION = [noise_picture(np.random.default_rng(0))]


def train(
    run: Run, name: StageName, model: LsmAdapter, sources: loop.Sources = noise
) -> Progress:
    train_stage(
        run, name, copy.deepcopy(model), sources=sources, validation=VALIDATION, process=ALONE
    )
    progress = load_progress(run.folder / name)
    assert progress is not None
    return progress


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_an_interrupted_stage_ends_bit_for_bit_as_one_that_was_not(
    name: StageName, make_run: MakeRun, model: LsmAdapter, tmp_path: Path
) -> None:
    straight = train(make_run(name, "straight"), name, model)

    def breaks_in_the_second_epoch(epoch: int, averaged: LsmAdapter) -> Sequence[Source]:
        return [Source(break_off, 1.0)] if epoch == 1 else noise(epoch, averaged)

    def break_off(_: np.random.Generator) -> Picture:
        raise Interrupted

    interrupted = make_run(name, "interrupted")
    with pytest.raises(Interrupted):
        train(interrupted, name, model, breaks_in_the_second_epoch)
    halfway = load_progress(interrupted.folder / name)
    assert halfway is not None
    assert (halfway.steps, halfway.is_finished) == (1, False)
    resumed = train(interrupted, name, model)

    assert (resumed.steps, resumed.is_finished) == (straight.steps, straight.is_finished)
    assert resumed.tensors.keys() == straight.tensors.keys()
    for key, tensor in straight.tensors.items():
        assert torch.equal(resumed.tensors[key], tensor), key
    kinds = {key.partition(".")[0] for key in straight.tensors}
    assert kinds == {"trained", "averaged", "optimiser"}
    assert [replace(row, elapsed_s=0.0) for row in resumed.log] == [
        replace(row, elapsed_s=0.0) for row in straight.log
    ]
    for file in ("best.safetensors", "last.safetensors"):
        one, other = (tmp_path / run / name / file for run in ("straight", "interrupted"))
        assert one.read_bytes() == other.read_bytes()


def test_a_finished_stage_is_not_trained_again(make_run: MakeRun, model: LsmAdapter) -> None:
    run = make_run("large", epochs=1)
    train(run, "large", model)
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}

    def refuse(_epoch: int, _model: LsmAdapter) -> Sequence[Source]:
        pytest.fail("a finished stage asked for pictures")

    train(run, "large", model, refuse)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_a_stage_leaves_both_checkpoints_its_state_log_curves_and_events(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    run = make_run("large", epochs=1)
    train(run, "large", model)
    assert sorted(path.name for path in (run.folder / "large").iterdir()) == [
        "best.json",
        "best.safetensors",
        "curves.png",
        "last.json",
        "last.safetensors",
        "log.csv",
        "state.safetensors",
        "tensorboard",
    ]
    assert list((run.folder / "large" / "tensorboard").iterdir())


def test_the_joint_stage_moves_what_it_learns_and_nothing_else_bit_for_bit(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    run = make_run("joint", epochs=1, steps_per_epoch=2)
    train_stage(run, "joint", model, sources=noise, validation=VALIDATION, process=ALONE)
    moved = {key for key, t in model.state_dict().items() if not torch.equal(t, before[key])}
    stored = tuple(f"{prefix}." for prefix in TRAINED["joint"])
    assert {key for key in moved if not key.startswith(stored)} == set()
    for prefix in stored:
        assert any(key.startswith(prefix) for key in moved), prefix
    prototypes = "head.semantic_prompter.prototypes"
    assert prototypes in moved
    length = model.state_dict()[prototypes].norm(dim=-1)
    torch.testing.assert_close(length, torch.ones_like(length))

    progress = load_progress(run.folder / "joint")
    assert progress is not None
    for key in (prototypes, "head.combiner.adaptive"):
        averaged, trained = (
            progress.tensors[f"{kind}.{key}"] for kind in ("averaged", "trained")
        )
        assert torch.equal(trained, model.state_dict()[key])
        assert not torch.equal(averaged, before[key])
        assert not torch.equal(averaged, trained)


def test_another_seed_trains_another_model(make_run: MakeRun, model: LsmAdapter) -> None:
    run = make_run("large", "one", epochs=1)
    other = replace(make_run("large", "other", epochs=1), seed=1)
    one_loss, other_loss = (train(r, "large", model).log[0].loss for r in (run, other))
    assert one_loss != other_loss


def test_a_loss_that_is_no_number_stops_the_stage_and_says_what_to_change(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    with torch.no_grad():
        model.head.mask_decoder.mask_tokens.weight.fill_(torch.nan)
    with pytest.raises(RunError, match=r"stage large, step 0: the loss is nan; lower optim"):
        train(make_run("large"), "large", model)


def test_gradients_that_are_no_number_stop_the_stage_before_they_spoil_the_weights(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    run = make_run("large")
    settings = run.recipe.stages.large
    assert settings is not None
    trainer = loop._set_up("large", model, settings, ALONE)
    token = model.head.mask_decoder.mask_tokens.weight
    token.register_hook(lambda grad: grad * torch.inf)  # type: ignore[no-untyped-call]  # not in the stubs
    with pytest.raises(RunError, match=r"stage large, step 0: the norm of its gradients is "):
        loop._train_epoch(trainer, run, settings, noise(0, model), ALONE)
    assert token.isfinite().all()


@pytest.mark.parametrize("file", [".last.safetensors.new", ".state.safetensors.new", "log.csv"])
def test_a_full_disk_stops_the_stage_which_goes_on_when_there_is_room(
    file: str, make_run: MakeRun, model: LsmAdapter
) -> None:
    run = make_run("large", epochs=1)
    (run.folder / "large").mkdir()
    (run.folder / "large" / file).symlink_to("/dev/full")
    with pytest.raises(
        RunError, match=r"run: cannot be written \(No space left on device\); make"
    ):
        train(run, "large", model)
    (run.folder / "large" / file).unlink(missing_ok=True)
    assert train(run, "large", model).is_finished


@dataclass(frozen=True)
class Course:
    """Scores of the epochs, and what must come of them."""

    scores: tuple[float, ...]
    patience: int | None
    epochs: int
    best: int


@pytest.mark.parametrize(
    "course",
    [
        pytest.param(
            Course((0.1, 0.2, 0.1, 0.1, 0.3), 2, 4, 1), id="two-epochs-after-the-best"
        ),
        pytest.param(Course((0.3, 0.2, 0.4, 0.1, 0.1), 2, 5, 2), id="a-new-best-is-a-new-wait"),
        pytest.param(Course((0.2, 0.2, 0.2, 0.2, 0.2), 2, 3, 2), id="standing-is-no-growth"),
        pytest.param(
            Course((0.2, 0.1, 0.1, 0.1, 0.2), None, 5, 4), id="last-of-equals-is-best"
        ),
    ],
)
def test_a_stage_stops_when_the_validation_has_not_grown_for_its_patience(
    course: Course, make_run: MakeRun, model: LsmAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    upcoming = iter(course.scores)
    others = dict.fromkeys(("val_precision", "val_recall", "val_alarm_share"), 0.0)
    monkeypatch.setattr(loop, "_train_epoch", lambda *_: 1.0)
    monkeypatch.setattr(loop, "write_log", lambda *_: None)
    monkeypatch.setattr(loop, "_validate", lambda *_: {"val_iou": next(upcoming), **others})
    run = make_run("large", epochs=5, patience_epochs=course.patience)
    progress = train(run, "large", model)
    assert progress.is_finished
    assert len(progress.log) == course.epochs
    best = json.loads((run.folder / "large" / "best.json").read_text())
    assert best["epoch"] == course.best


@pytest.mark.parametrize("water", [0, 1])
def test_what_the_validation_cannot_tell_is_no_figure_and_stops_nothing(
    water: int, make_run: MakeRun, model: LsmAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, labels = VALIDATION[0].image, np.full((48, 64), water, np.uint8)
    monkeypatch.setitem(globals(), "VALIDATION", [Picture("", "val", image, labels)])
    run = make_run("large", epochs=3, patience_epochs=None if water else 1)
    log = train(run, "large", model).log
    assert len(log) == 3
    for row in log:
        assert (row.val_iou is None) == (row.val_recall is None) == (not water)
        assert (row.val_alarm_share is None) == bool(water)
    best = json.loads((run.folder / "large" / "best.json").read_text())
    assert water or best["epoch"] == 2
    assert (run.folder / "large" / "curves.png").exists()


def halves(batch: Batch) -> list[Batch]:
    return [
        Batch(batch.images[at], batch.equalised[at], batch.labels[at])
        for at in (slice(0, 2), slice(2, 4))
    ]


def test_two_accumulated_batches_teach_what_one_batch_of_both_does(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    # Exact in real numbers for the large stage: no batch norm, and without ignored pixels
    # every term is a mean over pictures. Floats add up in another order.
    def in_full_precision(run: Run) -> Run:
        return replace(run, recipe=run.recipe.model_copy(update={"precision": "fp32"}))

    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator)
    labels = torch.randint(0, 2, (4, 64, 64), dtype=torch.uint8, generator=generator)
    whole = Batch(images, images.flip(-1), labels)
    gradients = []
    for batches in ([whole], halves(whole)):
        run = in_full_precision(make_run("large", str(len(batches)), accumulate=len(batches)))
        settings = run.recipe.stages.large
        assert settings is not None
        trainer = loop._set_up("large", copy.deepcopy(model), settings, ALONE)
        trainer.stage.set_training_mode()
        for batch in batches:
            loop._backward(trainer, batch, run, ALONE, is_last=batch is batches[-1])
        gradients.append(
            {k: p.grad for k, p in trainer.stage.named_parameters() if p.grad is not None}
        )
    once, twice = gradients
    assert once.keys() == twice.keys()
    for key, gradient in once.items():
        torch.testing.assert_close(twice[key], gradient, rtol=1e-4, atol=1e-6)


def test_the_average_moves_towards_the_trained_weights_without_reaching_them(
    make_run: MakeRun, model: LsmAdapter
) -> None:
    run = make_run("small")
    settings = run.recipe.stages.small
    assert settings is not None
    trainer = loop._set_up("small", model, settings, ALONE)
    trainer.steps = 1000
    trained = trainer.stage.model.get_parameter("head.small_model.pyramid.logits.weight")
    average = trainer.averaged.get_parameter("head.small_model.pyramid.logits.weight")
    start = average.detach().clone()
    with torch.no_grad():
        trained.add_(1.0)
    loop._update_average(trainer, decay=0.9)
    torch.testing.assert_close(average.detach(), start + 0.1)
    loop._update_average(trainer, decay=0.0)
    assert torch.equal(average, trained)


rates = st.floats(1e-5, 1e-2)
schedules = st.builds(
    OptimiserSection,
    learning_rate=rates,
    warmup_steps=st.integers(0, 50),
    final_learning_rate=st.floats(0.0, 1e-5),
)


@given(schedules, st.integers(51, 500))
def test_the_learning_rate_rises_to_its_full_value_then_falls_to_its_final_one(
    settings: OptimiserSection, total_steps: int
) -> None:
    factors = [
        learning_rate_factor(step, total_steps, settings) for step in range(total_steps + 1)
    ]
    warm = settings.warmup_steps
    assert all(factor > 0.0 for factor in factors[:-1])
    assert factors[:warm] == sorted(factors[:warm])
    assert factors[warm:] == sorted(factors[warm:], reverse=True)
    assert max(factors) == factors[warm] == 1.0
    assert factors[-1] * settings.learning_rate == pytest.approx(settings.final_learning_rate)


@given(schedules, st.integers(0, 1000), st.integers(0, 600))
def test_the_factor_never_exceeds_one_nor_falls_below_zero(
    settings: OptimiserSection, step: int, total_steps: int
) -> None:
    assert 0.0 <= learning_rate_factor(step, total_steps, settings) <= 1.0


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_every_optimisers_state_survives_being_stored(kind: str, model: LsmAdapter) -> None:
    settings = OptimiserSection.model_validate({"kind": kind, "learning_rate": 0.1})

    def step(stage: Stage, optimiser: torch.optim.Optimizer) -> None:
        for parameter in stage.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
        optimiser.step()

    stage = Stage("large", model, LossesSection())
    optimiser = make_optimiser(stage, settings)
    step(stage, optimiser)
    other_stage = copy.deepcopy(stage)
    other = make_optimiser(other_stage, settings)
    stored = {key: value.clone() for key, value in flatten_optimiser(optimiser).items()}
    restore_optimiser(other, {**stored, "trained.x": torch.zeros(1)})
    step(stage, optimiser)
    step(other_stage, other)
    for one, another in zip(stage.parameters(), other_stage.parameters(), strict=True):
        assert torch.equal(one, another)


def test_pretrained_layers_learn_more_slowly(model: LsmAdapter) -> None:
    stage = Stage("small", copy.deepcopy(model), LossesSection())
    settings = OptimiserSection(learning_rate=0.1, pretrained_factor=0.5)
    rates = {
        id(parameter): group["base"]
        for group in make_optimiser(stage, settings).param_groups
        for parameter in group["params"]
    }
    small_model = stage.model.head.small_model
    assert small_model is not None
    pretrained = {id(parameter) for parameter in small_model.pretrained_parameters()}
    assert pretrained
    assert rates == {key: 0.05 if key in pretrained else 0.1 for key in rates}
    assert len(rates) > len(pretrained)
