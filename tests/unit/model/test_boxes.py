from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.boxes import (
    box_iou,
    move,
    offsets_between,
    paste,
    roi_align,
    share_inside,
    suppress,
)

SIZE_PX = 60  # offsets enlarge a box by at most 62.5


@st.composite
def boxes(draw: st.DrawFn, *, min_size: int = 0) -> torch.Tensor:
    """(N, 4) float32 boxes with whole corners inside the picture."""
    corners = st.tuples(*[st.integers(0, SIZE_PX - 1)] * 4)
    drawn = draw(st.lists(corners, min_size=min_size, max_size=12))
    rows = [(min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1) for a, b, c, d in drawn]
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


@settings(max_examples=50, deadline=None)
@given(boxes(min_size=1), boxes(min_size=1))
def test_iou_is_symmetric_between_0_and_1_and_1_only_for_the_same_box(
    some: torch.Tensor, others: torch.Tensor
) -> None:
    iou = box_iou(some, others)
    torch.testing.assert_close(iou, box_iou(others, some).T)
    assert ((iou >= 0) & (iou <= 1)).all()
    assert torch.equal(iou == 1, (some[:, None] == others).all(dim=2))


def test_iou_counts_pixels() -> None:
    half = box_iou(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 0, 6, 4]]))
    assert half.item() == pytest.approx(8 / 24)


@settings(max_examples=50, deadline=None)
@given(boxes(), st.integers(0, 2**16), st.sampled_from([0.0, 0.3, 0.5, 0.7]))
def test_suppression_keeps_what_the_greedy_walk_keeps(
    some: torch.Tensor, seed: int, max_iou: float
) -> None:
    scores = torch.rand(len(some), generator=torch.Generator().manual_seed(seed))
    walk: list[int] = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        rivals = box_iou(some[[index]], some[walk])
        if not (rivals > max_iou).any():
            walk.append(index)
    assert suppress(some, scores, max_iou).tolist() == walk


@settings(max_examples=50, deadline=None)
@given(boxes(min_size=2))
def test_moving_a_box_by_its_offsets_to_another_gives_the_other(some: torch.Tensor) -> None:
    targets = some.roll(1, dims=0)
    moved = move(some, offsets_between(some, targets), SIZE_PX)
    torch.testing.assert_close(moved, targets, rtol=0, atol=1e-3)


def test_a_wild_offset_gives_a_box_inside_the_picture_of_at_least_a_pixel() -> None:
    start = torch.tensor([[10.0, 10, 20, 20]])
    for offset in (1e3, -1e3):
        moved = move(start, torch.full((1, 4), offset), SIZE_PX)[0]
        assert (moved >= 0).all()
        assert (moved <= SIZE_PX).all()
        assert (moved[2:] - moved[:2] >= 1).all()


@settings(max_examples=50, deadline=None)
@given(boxes(min_size=1), st.integers(0, 2**16))
def test_the_share_inside_a_mask_is_the_masks_mean_in_the_box(
    some: torch.Tensor, seed: int
) -> None:
    mask = torch.rand(SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(seed)) > 0.5
    means = [mask[y1:y2, x1:x2].float().mean() for x1, y1, x2, y2 in some.long().tolist()]
    torch.testing.assert_close(share_inside(some, mask), torch.stack(means))


def test_only_the_part_of_a_box_inside_the_picture_counts() -> None:
    everywhere = torch.ones(SIZE_PX, SIZE_PX, dtype=torch.bool)
    across = torch.tensor([[-30.0, -30, 10, 10], [50, 50, 200, 200]])
    assert share_inside(across, everywhere).tolist() == [1.0, 1.0]


def ramps(size_px: int, slopes: tuple[float, float]) -> list[torch.Tensor]:
    """Pyramid of two pictures whose channels are slope * x and slope * y, in pixels."""
    pyramid = []
    for stride_px in (4, 8, 16, 32):
        centres = (torch.arange(size_px // stride_px) + 0.5) * stride_px
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        pyramid.append(torch.stack([slope * torch.stack((x, y)) for slope in slopes]))
    return pyramid


def test_roi_align_reads_each_bin_at_its_place_whatever_the_size_of_the_box() -> None:
    # From the second, the third and the first map: the result is in the boxes' order.
    of_first = torch.tensor([[60.0, 40, 210, 190], [60, 40, 456, 480], [100, 150, 121, 164]])
    of_second = torch.tensor([[30.0, 300, 200, 500]])
    crops = roi_align(ramps(512, (1.0, 2.0)), [of_first, of_second], size_px=512, bins=7)
    assert crops.shape == (4, 2, 7, 7)
    steps = (torch.arange(7) + 0.5) / 7
    for crop, box, slope in zip(
        crops, torch.cat((of_first, of_second)), (1, 1, 1, 2), strict=True
    ):
        x = slope * (box[0] + steps * (box[2] - box[0]))
        y = slope * (box[1] + steps * (box[3] - box[1]))
        torch.testing.assert_close(crop[0], x.expand(7, 7), rtol=1e-4, atol=1e-2)
        torch.testing.assert_close(crop[1], y[:, None].expand(7, 7), rtol=1e-4, atol=1e-2)


def test_roi_align_takes_large_boxes_from_coarse_maps() -> None:
    maps = [torch.full((1, 1, 512 // 2**k, 512 // 2**k), float(k)) for k in range(2, 6)]
    sides = (10.0, 111.0, 113.0, 223.0, 225.0, 447.0, 449.0)
    some = torch.tensor([[0.0, 0.0, side, side] for side in sides])
    levels = roi_align(maps, [some], size_px=512, bins=1).flatten().tolist()
    assert levels == [2, 2, 3, 3, 4, 4, 5]


def test_roi_align_continues_the_map_beyond_the_border_of_the_picture() -> None:
    maps = [torch.ones(1, 1, 64 // stride_px, 64 // stride_px) for stride_px in (4, 8)]
    corners = torch.tensor([[0.0, 0, 1, 1], [63, 63, 64, 64]])
    crops = roi_align(maps, [corners], size_px=64, bins=2)
    torch.testing.assert_close(crops, torch.ones(2, 1, 2, 2))


def test_roi_align_of_no_boxes_is_empty() -> None:
    nothing = torch.zeros(0, 4)
    crops = roi_align(ramps(64, (1.0, 1.0)), [nothing, nothing], size_px=64, bins=7)
    assert crops.shape == (0, 2, 7, 7)


def test_a_pasted_mask_fills_its_box_and_nothing_else() -> None:
    mask = torch.full((1, 28, 28), 3.0)
    pasted = paste(mask, torch.tensor([[16.0, 32, 48, 56]]), size_px=64, side=16, outside=-10.0)
    expected = torch.full((1, 16, 16), -10.0)
    expected[:, 8:14, 4:12] = 3.0
    torch.testing.assert_close(pasted, expected)


def test_where_pasted_masks_overlap_the_highest_logit_wins() -> None:
    masks = torch.tensor([-2.0, 5.0, -50.0])[:, None, None].expand(3, 28, 28)
    where = torch.tensor([[0.0, 0, 40, 64], [24, 0, 64, 64], [0, 0, 64, 64]])
    row = paste(masks, where, size_px=64, side=16, outside=-10.0)[0, 8]
    assert row.tolist() == pytest.approx([-2.0] * 6 + [5.0] * 10)


def test_with_no_mask_to_paste_all_is_outside() -> None:
    pasted = paste(
        torch.zeros(0, 28, 28), torch.zeros(0, 4), size_px=64, side=16, outside=-10.0
    )
    assert torch.equal(pasted, torch.full((1, 16, 16), -10.0))
