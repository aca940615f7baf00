from __future__ import annotations

import torch

from lsm_monitor.model.instances import UNKNOWN, Assignment, assign, find_instances, sample
from lsm_monitor.model.small_model import DRY, IGNORED, WATER


def dry() -> torch.Tensor:
    return torch.full((64, 64), DRY, dtype=torch.uint8)


def test_each_connected_region_of_water_is_an_instance_with_its_box() -> None:
    labels = dry()
    labels[4:10, 6:30] = WATER
    labels[40:60, 32:64] = WATER
    instances = find_instances(labels)
    assert instances.boxes.tolist() == [[6, 4, 30, 10], [32, 40, 64, 60]]
    assert instances.ids[5, 7] == 1
    assert instances.ids[50, 50] == 2
    assert torch.equal(instances.ids > 0, labels == WATER)


def test_regions_that_touch_at_a_corner_are_one_instance() -> None:
    labels = dry()
    labels[0:8, 0:8] = labels[8:16, 8:16] = WATER
    assert find_instances(labels).boxes.tolist() == [[0, 0, 16, 16]]


def test_a_speck_and_an_unlabelled_region_are_neither_instance_nor_dry() -> None:
    labels = dry()
    labels[0:3, 0:5] = WATER
    labels[30:, :] = IGNORED
    labels[10:20, 10:20] = WATER
    instances = find_instances(labels)
    assert instances.boxes.tolist() == [[10, 10, 20, 20]]
    assert (instances.ids[0:3, 0:5] == UNKNOWN).all()
    assert (instances.ids[30:] == UNKNOWN).all()


def test_a_dry_picture_has_no_instance() -> None:
    instances = find_instances(dry())
    assert instances.boxes.shape == (0, 4)
    assert not instances.ids.any()


def test_boxes_are_positive_negative_or_neither_by_their_overlap() -> None:
    labels = dry()
    labels[0:20, 0:20] = WATER
    labels[40:60, 40:60] = WATER
    boxes = torch.tensor(
        [[0.0, 0, 20, 19], [40, 40, 60, 50], [0, 30, 10, 40], [39, 39, 60, 60]]
    )
    assignment = assign(boxes, find_instances(labels), positive_iou=0.7, negative_iou=0.3)
    assert assignment.is_positive.tolist() == [True, False, False, True]
    assert assignment.is_negative.tolist() == [False, False, True, False]
    assert assignment.instance[assignment.is_positive].tolist() == [0, 1]


def test_every_instance_can_claim_the_nearest_box() -> None:
    labels = dry()
    labels[0:6, 0:60] = WATER
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 60, 20], [40, 40, 60, 60]])
    assignment = assign(
        boxes, find_instances(labels), positive_iou=0.7, negative_iou=0.4, every_instance=True
    )
    assert assignment.is_positive.tolist() == [False, True, False]
    assert assignment.is_negative.tolist() == [True, False, True]


def test_a_box_that_is_mostly_unknown_is_no_example_of_dry_ground() -> None:
    labels = dry()
    labels[:, 32:] = IGNORED
    boxes = torch.tensor([[0.0, 0, 30, 30], [20, 0, 40, 20], [30, 0, 64, 20]])
    for wet in (False, True):
        if wet:
            labels[50:60, 0:10] = WATER
        assignment = assign(boxes, find_instances(labels), positive_iou=0.5, negative_iou=0.5)
        assert assignment.is_negative.tolist() == [True, True, False]
        assert not assignment.is_positive.any()


def test_a_sample_is_filled_up_with_negatives() -> None:
    is_positive = torch.arange(100) < 30
    assignment = Assignment(torch.zeros(100).long(), is_positive, ~is_positive)
    torch.manual_seed(0)
    positives, negatives = sample(assignment, count=40, max_positives=10)
    assert (len(positives), len(negatives)) == (10, 30)
    assert is_positive[positives].all()
    assert not is_positive[negatives].any()
    assert len(set(negatives.tolist())) == 30
