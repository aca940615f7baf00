"""Self-training: pictures without masks, labelled by the small model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from lsm_monitor.model.lsm_adapter import LsmAdapter
from lsm_train.checkpoint import write_atomically
from lsm_train.config import SelfTrainingSection
from lsm_train.data import DRY, IGNORED, WATER, ImageArray, Picture
from lsm_train.evaluate import predict


def self_label(
    model: LsmAdapter, pictures: Sequence[Picture], settings: SelfTrainingSection
) -> list[Picture]:
    """Return the pictures with the small model's confident opinion as labels.

    What it is not sure of is ignored.

    The opinion is the mean over the picture and its mirror image.
    """
    labelled = []
    for picture in pictures:
        mirrored = np.ascontiguousarray(picture.image[:, ::-1])
        probability = (
            predict(model, picture.image, "small") + predict(model, mirrored, "small").flip(-1)
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


def write_labels(path: Path, labelled: Sequence[Picture]) -> None:
    """Write the labels beside a checkpoint: a run that goes on must learn from the same."""
    file = io.BytesIO()
    # Not numpy's own writer: it takes names as keywords, and a picture may be called "file".
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for picture in labelled:
            with archive.open(f"{picture.name}.npy", "w") as member:
                np.lib.format.write_array(member, picture.labels, allow_pickle=False)
    write_atomically(path, file.getvalue())


def read_labels(path: Path, pictures: Sequence[Picture]) -> list[Picture]:
    """Return the pictures with the labels of :func:`write_labels`."""
    with np.load(path, allow_pickle=False) as labels:
        return [
            Picture(picture.dataset, picture.name, picture.image, labels[picture.name])
            for picture in pictures
        ]
