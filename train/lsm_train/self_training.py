"""Self-training: pictures without masks, labelled by the model that is being trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from lsm_train.config import SelfTrainingSection
from lsm_train.data import DRY, IGNORED, WATER, ImageArray, Picture
from lsm_train.evaluate import predict


def self_label(
    model: nn.Module,
    pictures: Sequence[Picture],
    settings: SelfTrainingSection,
    input_size_px: int,
) -> list[Picture]:
    """Return the pictures with the model's confident opinion as labels, the rest ignored.

    The opinion is the mean over the picture and its mirror image.
    """
    labelled = []
    for picture in pictures:
        mirrored = np.ascontiguousarray(picture.image[:, ::-1])
        probability = (
            predict(model, picture.image, input_size_px)
            + predict(model, mirrored, input_size_px).flip(-1)
        ) / 2
        labels = confident_labels(probability, settings)
        labelled.append(Picture(picture.dataset, picture.name, picture.image, labels))
    return labelled


def confident_labels(probability: torch.Tensor, settings: SelfTrainingSection) -> ImageArray:
    """(H, W) probabilities -> (H, W) uint8 labels; what is neither is ignored."""
    labels = np.full(tuple(probability.shape), IGNORED, np.uint8)
    labels[probability.numpy() >= settings.water_above] = WATER
    labels[probability.numpy() <= settings.dry_below] = DRY
    return labels
