from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lsm_monitor.model.build import ModelParts, build_model
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_train.config import Recipe, load_recipe
from lsm_train.data import DRY, IGNORED, WATER, Picture
from lsm_train.loop import (
    freeze,
    learning_rate_factor,
    set_up,
    train_epoch,
    update_average,
)
from lsm_train.pretrained import load_imagenet_weights, rename
from lsm_train.samples import Source
from lsm_train.self_training import confident_labels


@pytest.fixture
def recipe(debug_recipe: Path) -> Recipe:
    return load_recipe(debug_recipe)


def test_the_imagenet_weights_fill_every_tensor_of_the_encoder() -> None:
    encoder = EfficientNetLite0()
    for tensor in encoder.state_dict().values():
        tensor.fill_(-1)
    load_imagenet_weights(encoder)
    untouched = [name for name, t in encoder.state_dict().items() if bool((t == -1).all())]
    assert untouched == []


def test_only_the_classifier_of_the_imagenet_weights_is_left_out() -> None:
    checkpoint = {
        "_conv_stem.weight": torch.zeros(1),
        "_blocks.2._bn1.bias": torch.ones(1),
        "_conv_head.weight": torch.zeros(1),
        "_bn1.bias": torch.zeros(1),
        "_fc.bias": torch.zeros(1),
    }
    renamed = rename(checkpoint, EfficientNetLite0())
    assert list(renamed) == ["stem.0.weight", "stages.1.1.depthwise.1.bias"]


@pytest.mark.parametrize("stages", [0, 2, 7])
def test_frozen_stages_get_no_gradient_and_all_others_do(stages: int) -> None:
    torch.manual_seed(0)
    model = build_model(ModelParts("efficientnet_lite0", "lite", 64)).train()
    freeze(model, stages)
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    frozen = ["image_encoder.stem."] if stages else []
    frozen += [f"image_encoder.stages.{index}." for index in range(stages)]
    for name, parameter in model.named_parameters():
        is_frozen = name.startswith(tuple(frozen)) if frozen else False
        assert (parameter.grad is None) == is_frozen, name


def test_the_learning_rate_rises_then_falls_to_zero(recipe: Recipe) -> None:
    settings = recipe.optimiser.model_copy(update={"warmup_steps": 10})
    factors = [learning_rate_factor(step, 100, settings) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[9] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.0)


def test_a_step_moves_trained_weights_but_no_frozen_weight_and_no_encoder_statistic(
    recipe: Recipe,
) -> None:
    trainer = set_up(recipe, seed=0)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}

    train_epoch(trainer, [Source(noise_picture, 1.0)], recipe)

    moved = {
        name
        for name, tensor in trainer.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert "small_model.logits.weight" in moved
    assert "image_encoder.stages.6.0.project.0.weight" in moved
    assert not [name for name in moved if name.startswith("image_encoder.stages.1.")]
    assert not [n for n in moved if n.startswith("image_encoder") and "running" in n]


def test_the_average_moves_towards_the_trained_weights_without_reaching_them(
    recipe: Recipe,
) -> None:
    trainer = set_up(recipe, seed=0)
    trainer.steps = 1000
    weight = trainer.model.small_model.get_parameter("logits.weight")
    average = trainer.averaged.small_model.get_parameter("logits.weight")
    start = average.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    update_average(trainer, decay=0.9)
    torch.testing.assert_close(average.detach(), start + 0.1)


def test_only_confident_pixels_are_labelled(recipe: Recipe) -> None:
    assert recipe.self_training is not None
    labels = confident_labels(torch.tensor([[0.1, 0.5, 0.9]]), recipe.self_training)
    assert labels.tolist() == [[DRY, IGNORED, WATER]]


def noise_picture(rng: np.random.Generator) -> Picture:
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    return Picture("", "noise", image, (image[..., 0] > 127).astype(np.uint8))
