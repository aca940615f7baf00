from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_train.metrics import PixelCounts, PrecisionRecall, iou

pixels = st.integers(0, 10**9)
counts = st.builds(PixelCounts, pixels, pixels, pixels)


@given(counts)
def test_f1_follows_from_iou(some: PixelCounts) -> None:
    if some.iou is None:
        assert some.f1 is None
    else:
        assert some.f1 == pytest.approx(2 * some.iou / (1 + some.iou))


@given(counts)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(some: PixelCounts) -> None:
    if some.precision and some.recall:
        mean = 2 / (1 / some.precision + 1 / some.recall)
        assert some.f1 == pytest.approx(mean)


@given(counts)
def test_iou_is_at_most_precision_and_recall(some: PixelCounts) -> None:
    for larger in (some.precision, some.recall):
        if larger is not None:
            assert some.iou is not None
            assert some.iou <= larger


@given(counts, counts)
def test_counts_of_two_pictures_add_up(one: PixelCounts, other: PixelCounts) -> None:
    both = one + other
    assert both.true_water == one.true_water + other.true_water
    assert both.false_water == one.false_water + other.false_water
    assert both.missed_water == one.missed_water + other.missed_water


def test_counting_tells_the_three_kinds_apart() -> None:
    predicted = torch.tensor([True, True, True, False, False, False])
    target = torch.tensor([True, False, False, True, True, True])
    assert PixelCounts.of(predicted, target) == PixelCounts(1, 2, 3)


@pytest.mark.parametrize(
    ("some", "precision", "recall", "f1", "iou_"),
    [
        pytest.param(PixelCounts(0, 0, 0), None, None, None, None, id="dry-and-seen-as-dry"),
        pytest.param(PixelCounts(0, 5, 0), 0.0, None, 0.0, 0.0, id="dry-but-alarm"),
        pytest.param(PixelCounts(0, 0, 5), None, 0.0, 0.0, 0.0, id="all-missed"),
    ],
)
def test_what_is_undefined_is_none_and_not_zero(
    some: PixelCounts,
    precision: float | None,
    recall: float | None,
    f1: float | None,
    iou_: float | None,
) -> None:
    assert (some.precision, some.recall, some.f1, some.iou) == (precision, recall, f1, iou_)


def test_iou_of_each_image_scores_a_dry_street_seen_as_dry_as_one() -> None:
    predicted = torch.tensor([[[False, False]], [[True, False]], [[True, True]]])
    target = torch.tensor([[[False, False]], [[False, False]], [[True, False]]])
    assert iou(predicted, target).tolist() == [1.0, 0.0, 0.5]


@st.composite
def scored_pixels(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    # Multiples of 1/256: no threshold but those it shares is nearer than a rounding error.
    size = draw(st.integers(1, 60))
    numbers = draw(st.lists(st.integers(0, 256), min_size=size, max_size=size))
    water = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return torch.tensor(numbers) / 256, torch.tensor(water)


@settings(deadline=None)  # torch's first calls are slow
@given(scored_pixels())
def test_the_curve_agrees_with_a_direct_count_at_every_threshold(
    scored: tuple[torch.Tensor, torch.Tensor],
) -> None:
    probability, target = scored
    curve = PrecisionRecall.of(probability, target)
    assert len(curve.thresholds) == len(curve.precision) == len(curve.recall) == 200
    for threshold, precision, recall in zip(
        curve.thresholds, curve.precision, curve.recall, strict=True
    ):
        counted = PixelCounts.of(probability.double() >= threshold, target)
        assert precision == (1.0 if counted.precision is None else counted.precision)
        assert recall == (counted.recall or 0.0)


@settings(deadline=None)
@given(scored_pixels(), scored_pixels())
def test_curves_of_two_pictures_add_up(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> None:
    added = PrecisionRecall.of(*one) + PrecisionRecall.of(*other)
    joined = PrecisionRecall.of(
        *(torch.cat([first, second]) for first, second in zip(one, other, strict=True))
    )
    assert added.water.tolist() == joined.water.tolist()
    assert added.dry.tolist() == joined.dry.tolist()


@settings(deadline=None)
@given(scored_pixels())
def test_recall_falls_with_the_threshold_from_one(
    scored: tuple[torch.Tensor, torch.Tensor],
) -> None:
    curve = PrecisionRecall.of(*scored)
    assert curve.recall[0] == float(scored[1].any())
    assert (np.diff(curve.recall) <= 0).all()


@settings(deadline=None)
@given(scored_pixels())
def test_average_precision_lies_between_zero_and_one_and_needs_water(
    scored: tuple[torch.Tensor, torch.Tensor],
) -> None:
    average = PrecisionRecall.of(*scored).average_precision
    assert (average is None) == (not scored[1].any())
    assert average is None or 0.0 <= average <= 1.0 + 1e-12


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        pytest.param([1.0, 0.9, 0.1, 0.0], 1.0, id="water-above-all-dry-ground"),
        pytest.param([0.5, 0.5, 0.5, 0.5], 0.5, id="no-opinion"),
        pytest.param([0.0, 0.1, 0.9, 1.0], (1 / 3 + 2 / 4) / 2, id="the-wrong-way-round"),
        pytest.param([0.9, 0.3, 0.6, 0.0], (1 + 2 / 3) / 2, id="one-dry-pixel-between"),
    ],
)
def test_average_precision_of_known_rankings(probability: list[float], expected: float) -> None:
    target = torch.tensor([True, True, False, False])
    curve = PrecisionRecall.of(torch.tensor(probability), target)
    assert curve.average_precision == pytest.approx(expected)
