"""One step of self-training: who learns, who does not, and on what."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import Preprocessor
from lsm_train.adapt_config import AdaptRecipe
from lsm_train.adapt_losses import contrast_loss
from lsm_train.adaptation import Adaptation, HintedPicture, Views, merge_updates, opinion
from lsm_train.augment import crop
from lsm_train.data import DRY, IGNORED, WATER
from tests.unit.model.models import EVERYTHING, SIZE_PX, TINY_VIT, lively_model, shrink_sam

SHARED = AdaptRecipe(teacher_decay=0.0)
AVERAGED = AdaptRecipe(teacher_decay=0.9)


def views_of(hints: int, model: LsmAdapter, count: int = 2) -> Views:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, 48, 64, 3), np.uint8)
    pictures = [
        HintedPicture("", image, np.full((48, 64), hints, np.uint8)) for image in images
    ]
    return Views.of(pictures, model.preprocessor, rng)


def test_only_updates_learn_and_they_are_in_encoder_and_small_model() -> None:
    adaptation = Adaptation(lively_model(EVERYTHING), SHARED)
    learned = {name for name, p in adaptation.student.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[2] for name in learned} == {"up", "down"}
    assert {".".join(name.split(".")[:2]) for name in learned} == {
        "encoder.image_encoder",
        "head.small_model",
    }
    assert len(learned) == len(adaptation.learned)


@pytest.mark.parametrize("recipe", [SHARED, AVERAGED], ids=["shared", "averaged"])
def test_teacher_and_anchor_never_get_gradients(recipe: AdaptRecipe) -> None:
    model = lively_model(EVERYTHING)
    adaptation = Adaptation(model, recipe)
    torch.autograd.backward(adaptation.loss(views_of(IGNORED, model)))
    assert any(p.grad is not None and p.grad.any() for p in adaptation.learned)
    frozen = [adaptation._anchor]
    if recipe.teacher_decay:
        frozen.append(adaptation._teacher)
    for other in frozen:
        assert all(p.grad is None and not p.requires_grad for p in other.parameters())


def test_labels_come_from_the_weak_view_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively_model(EVERYTHING)
    adaptation = Adaptation(model, SHARED)
    seen = []

    def spy(model: LsmAdapter, images: torch.Tensor, *rest: object) -> object:
        seen.append((model, images, torch.is_grad_enabled(), len(rest) == 3))
        return opinion(model, images, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lsm_train.adaptation.opinion", spy)
    views = views_of(WATER, model)
    adaptation.loss(views)
    # anchor and teacher: weak view, without gradient, prompted; student: strong view, alone
    assert [(images is views.weak, grad, prompted) for _, images, grad, prompted in seen] == [
        (True, False, True),
        (True, False, True),
        (False, True, False),
    ]


def test_the_letterboxs_padding_is_no_ground_to_contrast_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pooled: list[torch.Tensor] = []

    def spy(*arguments: torch.Tensor) -> torch.Tensor:
        pooled.extend(arguments[1:4:2])
        return contrast_loss(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("lsm_train.adaptation.contrast_loss", spy)
    model = lively_model(EVERYTHING)
    Adaptation(model, SHARED).loss(views_of(DRY, model))  # pictures of 48 x 64
    for labels in pooled:
        assert (labels[:, 3 * SIZE_PX // 4 :] == IGNORED).all()
        assert (labels[:, : 3 * SIZE_PX // 4] == DRY).all()


@pytest.mark.parametrize("hints", [DRY, WATER, IGNORED])
def test_a_batch_of_one_kind_has_a_finite_loss_and_finite_gradients(hints: int) -> None:
    model = lively_model(EVERYTHING)
    adaptation = Adaptation(model, SHARED)
    loss = adaptation.loss(views_of(hints, model))
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in adaptation.learned)


def test_steps_on_dry_verdicts_take_water_away() -> None:
    model = lively_model(EVERYTHING)
    adaptation = Adaptation(model, SHARED)
    views = views_of(DRY, model)
    optimiser = torch.optim.Adam(adaptation.learned, 3e-3)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = adaptation.loss(views)
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_an_averaged_teacher_follows_the_student_and_a_shared_one_is_it() -> None:
    model = lively_model(EVERYTHING)
    shared, averaged = Adaptation(model, SHARED), Adaptation(model, AVERAGED)
    assert shared.result() is shared.student
    with torch.no_grad():
        for parameter in averaged.learned:
            parameter.add_(1.0)
    before = copy.deepcopy(dict(averaged.result().named_parameters()))
    averaged.move_teacher(1000)
    for name, parameter in averaged.student.named_parameters():
        moved = averaged.result().get_parameter(name) - before[name]
        expected = 0.1 if parameter.requires_grad else 0.0
        torch.testing.assert_close(moved, torch.full_like(moved, expected))


def test_statistics_of_batch_norm_stay_as_they_are() -> None:
    model = lively_model(EVERYTHING)
    adaptation = Adaptation(model, SHARED)
    before = copy.deepcopy(dict(adaptation.student.named_buffers()))
    torch.autograd.backward(adaptation.loss(views_of(IGNORED, model)))
    for name, buffer in adaptation.student.named_buffers():
        assert torch.equal(buffer, before[name])


def test_sams_attention_learns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink_sam(monkeypatch)
    model = lively_model(EVERYTHING.model_copy(update={"image_encoder": "sam_vit_b"}))
    adaptation = Adaptation(model, SHARED)
    torch.autograd.backward(adaptation.loss(views_of(WATER, model)))
    names = [
        name
        for name, p in adaptation.student.encoder.named_parameters()
        if p.grad is not None and p.grad.any()
    ]
    assert len(names) == TINY_VIT.depth  # at the start, ``up`` alone: ``down`` is times zero
    assert all(".attn.qkv." in name and name.endswith("up") for name in names)


def test_a_fitted_model_without_steps_is_the_deployed_one() -> None:
    model = lively_model(EVERYTHING)
    fitted = Adaptation(model, AVERAGED).result()
    merge_updates(fitted, encoder=True)
    before, after = model.state_dict(), fitted.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_views_show_the_same_place_and_only_light_and_weather_differ() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    cv2.rectangle(image, (20, 20), (50, 40), (255, 255, 255), -1)
    hints = (image[..., 0] > 0).astype(np.uint8)
    preprocessor = Preprocessor(
        SIZE_PX, lively_model(EVERYTHING).preprocessor.normalisation, "rgb"
    )
    views = Views.of(
        [HintedPicture("", image, hints)] * 4, preprocessor, np.random.default_rng(1)
    )
    bright = views.weak.mean(1) > 0.0
    assert ((bright == (views.hints == WATER)).float().mean((1, 2)) > 0.97).all()
    assert not torch.equal(views.weak, views.strong)


def test_a_crop_stays_inside_the_picture_and_the_right_way_up() -> None:
    image = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 80, 1).repeat(3, 2)
    for seed in range(20):
        view, labels = crop(image, image[..., 0], 64, np.random.default_rng(seed))
        assert max(view.shape) == 64
        assert labels.shape == view.shape[:2]
        rows = view[:, 0, 0].astype(int)
        assert (np.diff(rows) >= 0).all()
        assert rows[-1] - rows[0] >= 70
