from __future__ import annotations

import torch

from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.small_lite import SmallLite
from lsm_train.config import Recipe
from lsm_train.pretrained import load_imagenet_weights, load_pretrained_weights, rename


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


def test_encoder_and_small_model_start_from_the_same_features_and_the_rest_from_chance(
    recipe: Recipe, model: LsmAdapter
) -> None:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    load_pretrained_weights(recipe.model, model)
    loaded = {key for key, t in model.state_dict().items() if not torch.equal(t, before[key])}
    features = ("encoder.image_encoder.", "head.small_model.features.")
    assert loaded
    assert all(key.startswith(features) for key in loaded)
    small_model = model.head.small_model
    assert isinstance(small_model, SmallLite)
    encoder = model.encoder.image_encoder.state_dict()
    for key, tensor in small_model.features.state_dict().items():
        assert torch.equal(tensor, encoder[key]), key
