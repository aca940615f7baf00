"""Synthesis, augmentation and mixing: what a training step sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lsm_monitor.model.preprocess import LITE_NORMALISATION, Preprocessor
from lsm_train.augment import augment
from lsm_train.config import Recipe, RenderedSection
from lsm_train.data import DRY, IGNORED, WATER, Picture, load_dataset
from lsm_train.fit import load_pictures
from lsm_train.rendered import render_pictures
from lsm_train.samples import Source, batches_ahead, make_batch, make_sources
from lsm_train.synthesis import dried, flooded, wet

SEEDS = range(12)


@pytest.fixture
def flood(shared_data: Path) -> Picture:
    return load_dataset(shared_data, "roadway_dev", None, 768)[0]


@pytest.fixture
def road(shared_data: Path) -> Picture:
    return load_dataset(shared_data, "dry_lums", None, 768)[0]


def test_drying_removes_water_and_touches_nothing_far_from_it(
    flood: Picture, road: Picture
) -> None:
    for seed in SEEDS:
        result = dried(flood, road, np.random.default_rng(seed))
        changed = result.labels != flood.labels
        assert changed.any()
        assert (result.labels[changed] == DRY).all()
        np.testing.assert_array_equal(result.image[:30], flood.image[:30])


def test_drying_makes_blue_water_as_grey_as_asphalt(flood: Picture, road: Picture) -> None:
    def blueness(picture: Picture, where: np.ndarray) -> float:
        pixels = picture.image[where].astype(float)
        return float((pixels[:, 2] - pixels[:, 0]).mean())

    results = [dried(flood, road, np.random.default_rng(seed)) for seed in SEEDS]
    inner = [blueness(r, (r.labels == DRY) & (flood.labels == WATER)) for r in results]
    assert np.mean(inner) < 0.6 * blueness(flood, flood.labels == WATER)


def test_flooding_puts_water_on_the_road_only(flood: Picture, road: Picture) -> None:
    assert road.road is not None
    wetted = 0
    for seed in SEEDS:
        result = flooded(road, flood, np.random.default_rng(seed))
        water = result.labels == WATER
        wetted += bool(water.any())
        assert not (water & ~road.road).any()
    assert wetted == len(SEEDS)


def test_flooding_without_a_usable_donor_leaves_the_road_dry(road: Picture) -> None:
    assert flooded(road, road, np.random.default_rng(0)) is road


def test_a_wet_road_looks_different_and_is_still_dry(road: Picture) -> None:
    for seed in SEEDS:
        result = wet(road, np.random.default_rng(seed))
        assert not result.labels.any()
        change = np.abs(result.image.astype(int) - road.image.astype(int)).mean(axis=2)
        assert change[60:].mean() > 3.0
        assert change[:30].mean() < 1.0


def test_augmenting_keeps_the_longer_side_and_known_labels(flood: Picture) -> None:
    for seed in SEEDS:
        image, labels = augment(flood.image, flood.labels, 64, np.random.default_rng(seed))
        assert image.dtype == np.uint8
        assert max(image.shape[:2]) == 64
        assert labels.shape == image.shape[:2]
        assert set(np.unique(labels)) <= {DRY, WATER, IGNORED}


def test_labels_move_with_the_pixels() -> None:
    """Where a white disc lands, its label lands: the one bug that no loss curve shows."""
    rows, columns = np.mgrid[:200, :200]
    labels = ((rows - 100) ** 2 + (columns - 100) ** 2 < 60**2).astype(np.uint8)
    image = np.repeat(labels[..., None] * np.uint8(255), 3, axis=2)
    agreements = []
    for seed in range(40):
        moved, moved_labels = augment(image, labels, 128, np.random.default_rng(seed))
        bright = moved.mean(axis=2)
        inside, outside = bright[moved_labels == WATER], bright[moved_labels == DRY]
        if inside.size > 200 and outside.size > 200:
            agreements.append(np.median(inside) > np.median(outside))
    assert len(agreements) > 20
    assert np.mean(agreements) > 0.9  # heavy glare or darkness may hide the disc


PREPROCESSOR = Preprocessor(64, LITE_NORMALISATION, "rgb")


@pytest.fixture(scope="module")
def sources(shared_data: Path, recipe: Recipe) -> list[Source]:
    return make_sources(recipe, load_pictures(recipe, shared_data).labelled)


def test_batches_are_the_same_for_the_same_seed(sources: list[Source]) -> None:
    one, other, third = (
        make_batch(sources, PREPROCESSOR, batch_size=6, rng=np.random.default_rng(seed))
        for seed in (7, 7, 8)
    )
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.equalised, other.equalised)
    assert torch.equal(one.labels, other.labels)
    assert not torch.equal(one.images, third.images)


def test_a_batch_holds_pictures_their_equalised_twins_and_their_labels(
    sources: list[Source],
) -> None:
    batch = make_batch(sources, PREPROCESSOR, batch_size=3, rng=np.random.default_rng(0))
    assert batch.images.shape == batch.equalised.shape == (3, 3, 64, 64)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(batch.images, batch.equalised)
    assert batch.labels.shape == (3, 64, 64)
    assert batch.labels.dtype == torch.uint8


def test_batches_made_ahead_are_those_made_one_by_one(sources: list[Source]) -> None:
    ahead = list(
        batches_ahead(
            sources, PREPROCESSOR, batch_size=2, batches=3, rng=np.random.default_rng(1)
        )
    )
    rng = np.random.default_rng(1)
    assert len(ahead) == 3
    for batch in ahead:
        alone = make_batch(sources, PREPROCESSOR, batch_size=2, rng=rng)
        assert torch.equal(batch.images, alone.images)
        assert torch.equal(batch.labels, alone.labels)


def test_padding_is_dry_ground(sources: list[Source]) -> None:
    batch = make_batch(sources, PREPROCESSOR, batch_size=24, rng=np.random.default_rng(0))
    padded = (batch.images == 0.0).all(dim=1).all(dim=2)  # rows of nothing but padding
    assert padded.any()
    assert (batch.labels[padded] == DRY).all()


def test_sources_are_drawn_from_by_their_shares() -> None:
    def grey(value: int) -> Source:
        image = np.full((64, 64, 3), value, np.uint8)
        labels = np.full((64, 64), value, np.uint8)
        return Source(lambda _: Picture("", "", image, labels), 3.0 if value else 1.0)

    batch = make_batch(
        [grey(0), grey(1)], PREPROCESSOR, batch_size=400, rng=np.random.default_rng(0)
    )
    share = float((batch.labels[:, 32, 32] == 1).float().mean())
    assert share == pytest.approx(0.75, abs=0.07)


@pytest.mark.slow
def test_rendered_streets_are_the_same_every_time_and_have_exact_masks() -> None:
    settings = RenderedSection(streets=1, pictures_per_street=3)
    one, other = render_pictures(settings), render_pictures(settings)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.labels, second.labels)
    assert any((picture.labels == WATER).any() for picture in one)
    assert {picture.dataset for picture in one} == {"rendered"}
