from __future__ import annotations

import pytest

from lsm_monitor.inference.demand import Demand
from lsm_monitor.types import CameraId

BRIDGE, QUAY = CameraId("bridge"), CameraId("quay")


@pytest.fixture
def demand() -> Demand:
    demand = Demand()
    demand.expect(BRIDGE, 10.0)
    demand.expect(QUAY, 20.0)
    return demand


def test_a_camera_that_has_shown_nothing_brings_nothing(demand: Demand) -> None:
    assert demand.per_s(1000.0) == 0.0


def test_cameras_bring_what_their_intervals_say_from_their_first_picture(
    demand: Demand,
) -> None:
    demand.came(BRIDGE, 100.0)
    demand.came(QUAY, 101.0)
    assert demand.per_s(101.0) == pytest.approx(0.1 + 0.05)


def test_another_interval_counts_at_once(demand: Demand) -> None:
    demand.came(BRIDGE, 100.0)
    demand.expect(BRIDGE, 50.0)
    assert demand.per_s(101.0) == pytest.approx(0.02)


def test_a_camera_whose_key_frames_are_rare_brings_less_than_its_interval_says(
    demand: Demand,
) -> None:
    demand.came(BRIDGE, 100.0)
    demand.came(BRIDGE, 125.0)
    assert demand.per_s(126.0) == pytest.approx(0.04)


def test_a_camera_that_went_away_brings_less_and_less(demand: Demand) -> None:
    demand.came(BRIDGE, 100.0)
    assert demand.per_s(1100.0) == pytest.approx(0.001)


def test_a_camera_that_kept_the_interval_it_had_is_not_late_by_the_one_it_gets(
    demand: Demand,
) -> None:
    demand.expect(BRIDGE, 60.0)
    demand.came(BRIDGE, 100.0)
    demand.expect(BRIDGE, 10.0)
    assert demand.per_s(155.0) == pytest.approx(0.1)
    demand.came(BRIDGE, 160.0)
    assert demand.per_s(160.0) == pytest.approx(0.1)


def test_a_forgotten_camera_brings_nothing(demand: Demand) -> None:
    demand.came(BRIDGE, 100.0)
    demand.forget(BRIDGE)
    assert demand.per_s(101.0) == 0.0
