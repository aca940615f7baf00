from __future__ import annotations

import pytest
import torch

from lsm_monitor.model.small_lite import SmallLite
from lsm_monitor.model.small_model import DRY, IGNORED, WATER
from tests.unit.model.models import noise

SIDE_PX = 64


@pytest.fixture
def model() -> SmallLite:
    torch.manual_seed(0)
    return SmallLite()


def labelled(value: int) -> torch.Tensor:
    return torch.full((2, SIDE_PX, SIDE_PX), value, dtype=torch.uint8)


def answering(model: SmallLite, logit: float) -> SmallLite:
    """Make the model say the same everywhere."""
    torch.nn.init.zeros_(model.pyramid.logits.weight)
    torch.nn.init.constant_(model.pyramid.logits.get_parameter("bias"), logit)
    return model


def test_logits_have_a_quarter_of_the_inputs_size(model: SmallLite) -> None:
    with torch.inference_mode():
        assert model.eval()(noise(2)).shape == (2, 1, 16, 16)


def test_every_parameter_of_the_model_gets_a_gradient(model: SmallLite) -> None:
    labels = labelled(DRY)
    labels[0, 20:40, 10:50] = WATER
    torch.autograd.backward(model.train().loss(noise(2), labels))
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert without == []


def test_the_early_stages_are_frozen_and_the_later_ones_pretrained(model: SmallLite) -> None:
    frozen = {id(parameter) for parameter in model.frozen_parameters()}
    pretrained = {id(parameter) for parameter in model.pretrained_parameters()}
    for name, parameter in model.named_parameters():
        place = name.split(".")
        is_early = place[:2] == ["features", "stem"] or (
            place[:2] == ["features", "stages"] and int(place[2]) < 3
        )
        assert (id(parameter) in frozen) == is_early, name
        is_later = place[0] == "features" and not is_early
        assert (id(parameter) in pretrained) == is_later, name


def test_training_keeps_the_statistics_of_the_features(model: SmallLite) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train()(5.0 * noise(2))
    changed = {
        name
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed
    assert all(name.startswith("pyramid.") for name in changed)


@pytest.mark.parametrize(
    ("logit", "label", "expected"),
    [
        pytest.param(20.0, WATER, 0.0, id="right-about-water"),
        pytest.param(-20.0, DRY, 0.0, id="right-about-dry-ground"),
        # Twice the cross-entropy of 20, and hardly any overlap.
        pytest.param(-20.0, WATER, 2 * 20.0 + 1.0, id="water-missed"),
        pytest.param(20.0, DRY, 2 * 20.0 + 1.0, id="water-invented"),
        # log 2, halved by the focus and doubled by the weight; half of all pixels in common.
        pytest.param(0.0, WATER, 0.6931 + 0.5, id="undecided"),
    ],
)
def test_the_loss_is_what_it_should_be_for_an_answer_that_is_the_same_everywhere(
    model: SmallLite, logit: float, label: int, expected: float
) -> None:
    with torch.inference_mode():
        loss = answering(model, logit).loss(noise(2), labelled(label))
    assert float(loss) == pytest.approx(expected, abs=2e-3)


def test_ignored_pixels_do_not_count(model: SmallLite) -> None:
    answering(model, 20.0)
    labels = labelled(IGNORED)
    with torch.inference_mode():
        assert model.loss(noise(2), labels) == 0.0
        labels[:, :8] = WATER
        assert model.loss(noise(2), labels) < 1e-3
        labels[:, :8] = DRY
        assert model.loss(noise(2), labels) > 40.0
