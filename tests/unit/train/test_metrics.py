from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lsm_train.metrics import PixelCounts, iou

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
