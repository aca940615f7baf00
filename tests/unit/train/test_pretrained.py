from __future__ import annotations

import numpy as np
import pytest
import torch

from lsm_monitor.model.build import build_model
from lsm_monitor.model.efficientnet_lite0 import EfficientNetLite0
from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_monitor.model.preprocess import (
    IMAGENET_NORMALISATION,
    LITE_NORMALISATION,
    Normalisation,
    Preprocessor,
)
from lsm_monitor.model.small_lite import SmallLite
from lsm_train import pretrained as module
from lsm_train.config import Recipe
from lsm_train.pretrained import load_imagenet_weights, load_pretrained_weights, rename
from tests.unit.model.models import EVERYTHING, shrink_sam


def test_the_imagenet_weights_fill_every_tensor_of_the_encoder() -> None:
    encoder = EfficientNetLite0()
    for tensor in encoder.state_dict().values():
        tensor.fill_(-1)
    load_imagenet_weights(encoder, LITE_NORMALISATION)
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


def test_the_features_are_the_same_whatever_the_pictures_normalisation() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def features(normalisation: Normalisation) -> torch.Tensor:
        encoder = EfficientNetLite0().eval()
        load_imagenet_weights(encoder, normalisation)
        image = Preprocessor(64, normalisation, "off")(picture).image
        with torch.no_grad():
            return encoder.embed_patches(image[None])

    must, found = features(LITE_NORMALISATION), features(IMAGENET_NORMALISATION)
    # The last row and column see the border's zeros, which are another colour.
    torch.testing.assert_close(found[..., :-1, :-1], must[..., :-1, :-1], atol=1e-4, rtol=1e-4)


def test_a_small_model_beside_sam_starts_in_sams_normalisation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink_sam(monkeypatch)
    monkeypatch.setattr(module, "load_sam_checkpoint", lambda *_args, **_parts: None)
    monkeypatch.setattr(module, "verify", lambda *_args: None)
    parts = EVERYTHING.model_copy(update={"image_encoder": "sam_vit_b"})
    model = build_model(parts)
    load_pretrained_weights(parts, model)
    expected = EfficientNetLite0()
    load_imagenet_weights(expected, IMAGENET_NORMALISATION)
    assert isinstance(model.head.small_model, SmallLite)
    for key, tensor in model.head.small_model.features.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[key]), key
