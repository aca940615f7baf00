"""The endless stream of training samples, mixed from the recipe's sources by share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from lsm_monitor.model.postprocess import Letterbox
from lsm_monitor.model.preprocess import Preprocessor
from lsm_train.augment import augment
from lsm_train.config import Recipe, SourceSection
from lsm_train.data import DRY, ImageArray, Picture
from lsm_train.synthesis import dried, flooded, wet

_WET_AFTER_DRYING = 0.6  # share of the dried roads that become shiny

Draw = Callable[[np.random.Generator], Picture]
Made = TypeVar("Made")


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


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Training samples.

    Attributes:
        images: (B, 3, S, S) float32, normalised, channels last.
        equalised: (B, 3, S, S) float32, the same after histogram equalisation.
        labels: (B, S, S) uint8 of :mod:`lsm_train.surfaces`; the letterbox's padding is dry.
    """

    images: torch.Tensor
    equalised: torch.Tensor
    labels: torch.Tensor


def make_batch(
    sources: Sequence[Source],
    preprocessor: Preprocessor,
    *,
    batch_size: int,
    rng: np.random.Generator,
) -> Batch:
    """Return the next samples."""
    shares = np.array([source.share for source in sources])
    chosen = rng.choice(len(sources), batch_size, p=shares / shares.sum())
    prepared, labels = [], []
    for index in chosen:
        picture = sources[index].draw(rng)
        image, label = augment(
            picture.image, picture.all_labels, preprocessor.input_size_px, rng
        )
        prepared.append(preprocessor(image))
        labels.append(pad_labels(label, prepared[-1].letterbox))
    return Batch(
        _stack([sample.image for sample in prepared]),
        _stack([sample.equalised for sample in prepared]),
        torch.stack(labels),
    )


def batches_ahead(
    sources: Sequence[Source],
    preprocessor: Preprocessor,
    *,
    batch_size: int,
    batches: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Yield batches; each is made while the one before is trained on."""
    make = functools.partial(make_batch, sources, preprocessor, batch_size=batch_size, rng=rng)
    return batches_of(make, batches)


def batches_of(make: Callable[[], Made], batches: int) -> Iterator[Made]:
    """Yield what ``make`` makes; each is made while the one before is trained on.

    One thread makes them one after the other, so the same seed gives the same batches.
    """
    with ThreadPoolExecutor(1, "batches") as pool:
        upcoming = pool.submit(make)
        for _ in range(batches - 1):
            batch = upcoming.result()
            upcoming = pool.submit(make)
            yield batch
        yield upcoming.result()


def _stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(tensors)).contiguous(memory_format=torch.channels_last)


def pad_labels(labels: ImageArray, letterbox: Letterbox) -> torch.Tensor:
    """Return (S, S) uint8 from labels that already have the letterbox's resized size.

    The padding is dry, not ignored: the prompters look at the whole square, and a small model
    that was never told calls the padding below a flood water.
    """
    padded = torch.full((letterbox.input_size, letterbox.input_size), DRY, dtype=torch.uint8)
    height, width = letterbox.resized_hw
    padded[:height, :width] = torch.from_numpy(labels)
    return padded
