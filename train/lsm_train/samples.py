"""The endless stream of training samples, mixed from the recipe's sources by share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lsm_monitor.model.postprocess import Letterbox
from lsm_monitor.model.preprocess import preprocess
from lsm_train.augment import augment
from lsm_train.config import Recipe, SourceSection
from lsm_train.data import IGNORED, ImageArray, Picture
from lsm_train.synthesis import dried, flooded, wet

_WET_AFTER_DRYING = 0.4  # share of the dried roads that become shiny

Draw = Callable[[np.random.Generator], Picture]


@dataclass(frozen=True, slots=True)
class Source:
    """One source: how to draw a picture from it, and how often."""

    draw: Draw
    share: float


def make_sources(recipe: Recipe, pictures: Mapping[str, Sequence[Picture]]) -> list[Source]:
    """Return the recipe's sources over ``pictures``, data set -> its training pictures."""
    return [Source(_draw(source, pictures), source.share) for source in recipe.sources]


def _draw(source: SourceSection, pictures: Mapping[str, Sequence[Picture]]) -> Draw:
    group = [picture for name in source.datasets for picture in pictures[name]]
    donors = [picture for name in source.donors for picture in pictures[name]]

    def draw(rng: np.random.Generator) -> Picture:
        picture = choose(group, rng)
        match source.kind:
            case "dried":
                picture = dried(picture, choose(donors, rng), rng)
                return wet(picture, rng) if rng.random() < _WET_AFTER_DRYING else picture
            case "flooded":
                return flooded(picture, choose(donors, rng), rng)
            case "wet":
                return wet(picture, rng)
            case "pictures":
                return picture

    return draw


def choose(pictures: Sequence[Picture], rng: np.random.Generator) -> Picture:
    """Return one of the pictures, each equally likely."""
    return pictures[int(rng.integers(len(pictures)))]


def make_batch(
    sources: Sequence[Source], *, batch_size: int, size_px: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the next samples.

    Returns:
        (B, 3, S, S) float32, normalised, channels last; (B, S, S) uint8 labels, where the
        letterbox's padding is ignored.
    """
    shares = np.array([source.share for source in sources])
    chosen = rng.choice(len(sources), batch_size, p=shares / shares.sum())
    images, labels = [], []
    for index in chosen:
        picture = sources[index].draw(rng)
        image, label = augment(picture.image, picture.labels, size_px, rng)
        tensor, letterbox = preprocess(image, size_px)
        images.append(tensor)
        labels.append(pad_labels(label, letterbox))
    batch = torch.stack(images).contiguous(memory_format=torch.channels_last)
    return batch, torch.stack(labels)


def pad_labels(labels: ImageArray, letterbox: Letterbox) -> torch.Tensor:
    """Return (S, S) uint8 from labels that already have the letterbox's resized size."""
    padded = torch.full(
        (letterbox.input_size, letterbox.input_size), IGNORED, dtype=torch.uint8
    )
    height, width = letterbox.resized_hw
    padded[:height, :width] = torch.from_numpy(labels)
    return padded
