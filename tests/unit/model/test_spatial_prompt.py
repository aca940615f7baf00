from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.spatial_prompt import (
    BOTTOM_RIGHT,
    NEGATIVE,
    PADDING,
    POSITIVE,
    TOP_LEFT,
    box_prompt,
    mask_prompt,
    point_prompt,
)

Tokens = tuple[torch.Tensor, torch.Tensor]

# An all-dry street as a small model sees it: hardly any water, but not the same everywhere.
DRY = torch.linspace(-9.0, -8.0, 256).view(1, 1, 16, 16)

sides = st.integers(8, 20)
thresholds = st.floats(0.1, 0.9)
seeds = st.integers(0, 1000)


def random_logits(seed: int, batch: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randn(batch, 1, height, width, generator=generator)


def drawn(*rows: str) -> torch.Tensor:
    """Return (1, 1, h, w) logits: water where a row has ``#``."""
    water = torch.tensor([[character == "#" for character in row] for row in rows])
    return torch.where(water, 3.0, -3.0)[None, None]


@settings(deadline=None, max_examples=50)
@given(seed=seeds, height=sides, width=sides, grid=st.integers(1, 8), tau=thresholds)
def test_each_cell_gives_one_point_of_its_own_that_is_positive_iff_it_has_water(
    seed: int, height: int, width: int, grid: int, tau: float
) -> None:
    logits = random_logits(seed, 1, height, width)
    probability = logits[0, 0].sigmoid()
    coordinates, labels = point_prompt(logits, threshold=tau, grid=grid)
    assert coordinates.shape == (1, grid * grid, 2)
    assert labels.shape == (1, grid * grid)
    for index in range(grid * grid):
        row, column = divmod(index, grid)
        top, bottom = row * height // grid, math.ceil((row + 1) * height / grid)
        left, right = column * width // grid, math.ceil((column + 1) * width / grid)
        cell = probability[top:bottom, left:right]
        is_water = bool((cell >= tau).any())
        assert labels[0, index] == (POSITIVE if is_water else NEGATIVE)
        x, y = coordinates[0, index].tolist()
        # A point is the middle of a pixel.
        pixel_x, pixel_y = round(x * width - 0.5), round(y * height - 0.5)
        assert (x * width - 0.5, y * height - 0.5) == pytest.approx(
            (pixel_x, pixel_y), abs=1e-4
        )
        assert left <= pixel_x < right
        assert top <= pixel_y < bottom
        assert probability[pixel_y, pixel_x] == (cell.max() if is_water else cell.min())


def test_a_probability_at_the_threshold_is_water() -> None:
    logits = torch.zeros(1, 1, 8, 8)
    _, labels = point_prompt(logits, threshold=0.5, grid=2)
    assert (labels == POSITIVE).all()
    _, labels = box_prompt(logits, threshold=0.5, per_component=False)
    assert labels.tolist() == [[TOP_LEFT, BOTTOM_RIGHT]]


@pytest.mark.parametrize("threshold", [0.01, 0.5])
def test_an_all_dry_picture_gives_no_positive_point_and_no_box(threshold: float) -> None:
    """Nothing is stretched to the full range: its wettest pixel is still dry."""
    _, labels = point_prompt(DRY, threshold=threshold, grid=8)
    assert (labels == NEGATIVE).all()
    for per_component in (False, True):
        _, labels = box_prompt(DRY, threshold=threshold, per_component=per_component)
        assert (labels == PADDING).all()


@settings(deadline=None, max_examples=50)
@given(seed=seeds, height=sides, width=sides, tau=thresholds)
def test_one_box_is_the_tightest_round_all_water(
    seed: int, height: int, width: int, tau: float
) -> None:
    logits = random_logits(seed, 1, height, width) - 4.0  # little water
    coordinates, labels = box_prompt(logits, threshold=tau, per_component=False)
    rows, columns = torch.nonzero(logits[0, 0].sigmoid() >= tau, as_tuple=True)
    if len(rows) == 0:
        assert labels.tolist() == [[PADDING, PADDING]]
        return
    assert labels.tolist() == [[TOP_LEFT, BOTTOM_RIGHT]]
    (left, top), (right, bottom) = coordinates[0].tolist()
    assert left * width == pytest.approx(int(columns.min()), abs=1e-4)
    assert top * height == pytest.approx(int(rows.min()), abs=1e-4)
    assert right * width == pytest.approx(int(columns.max()) + 1, abs=1e-4)
    assert bottom * height == pytest.approx(int(rows.max()) + 1, abs=1e-4)


def test_pieces_get_boxes_of_their_own_the_largest_first() -> None:
    logits = drawn(
        "#.......",
        "........",
        ".....##.",
        "####.##.",
        "####.##.",
        "...#....",
        "#...#...",  # the second one touches the piece above diagonally
        "........",
    )
    coordinates, labels = box_prompt(logits, threshold=0.5, per_component=True)
    assert labels.tolist() == [4 * [TOP_LEFT, BOTTOM_RIGHT] + 8 * [PADDING]]
    boxes = (8 * coordinates[0, :8]).reshape(4, 4).tolist()
    assert boxes[:2] == [[0, 3, 5, 7], [5, 2, 7, 5]]
    assert sorted(boxes[2:]) == [[0, 0, 1, 1], [0, 6, 1, 7]]


def test_only_the_eight_largest_pieces_get_a_box() -> None:
    # Nine stripes of growing length; the shortest one is left out.
    stripes = [("#" * length).ljust(18, ".") for length in range(1, 10)]
    logits = drawn(*(row for stripe in stripes for row in (stripe, 18 * ".")))
    coordinates, labels = box_prompt(logits, threshold=0.5, per_component=True)
    assert (labels == torch.tensor([TOP_LEFT, BOTTOM_RIGHT]).repeat(8)).all()
    lengths = 18 * (coordinates[0, 1::2, 0] - coordinates[0, ::2, 0])
    assert lengths.tolist() == pytest.approx(range(9, 1, -1))


@settings(deadline=None, max_examples=50)
@given(seed=seeds, gain=st.floats(0.0, 100.0))
def test_a_mask_prompt_is_the_logits_limited_to_ten(seed: int, gain: float) -> None:
    logits = gain * random_logits(seed, 2, 8, 8)
    found = mask_prompt(logits)
    is_large = logits.abs() > 10.0
    assert torch.equal(found[~is_large], logits[~is_large])
    assert torch.equal(found[is_large], 10.0 * logits[is_large].sign())


def test_a_mask_prompt_of_an_all_dry_picture_is_dry() -> None:
    assert torch.equal(mask_prompt(DRY), DRY)


PROMPTS: dict[str, Callable[[torch.Tensor], Tokens]] = {
    "points": partial(point_prompt, threshold=0.5, grid=4),
    "box": partial(box_prompt, threshold=0.5, per_component=False),
    "per-component": partial(box_prompt, threshold=0.5, per_component=True),
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
@settings(deadline=None, max_examples=50)
@given(seed=seeds, dampness=st.tuples(st.floats(-8.0, 2.0), st.floats(-8.0, 2.0)))
def test_a_pictures_prompt_does_not_depend_on_its_neighbour(
    prompt: Callable[[torch.Tensor], Tokens], seed: int, dampness: tuple[float, float]
) -> None:
    logits = random_logits(seed, 2, 9, 11) + torch.tensor(dampness).view(2, 1, 1, 1)
    coordinates, labels = prompt(logits)
    assert coordinates.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert coordinates.amin() >= 0.0
    assert coordinates.amax() <= 1.0
    for index in range(2):
        alone_coordinates, alone_labels = prompt(logits[index : index + 1])
        assert torch.equal(coordinates[index : index + 1], alone_coordinates)
        assert torch.equal(labels[index : index + 1], alone_labels)
