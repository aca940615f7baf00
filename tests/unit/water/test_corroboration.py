from __future__ import annotations

import pytest

from lsm_monitor.types import CameraId, WaterLevel, WaterState, ZoneId
from lsm_monitor.water.corroboration import Corroboration, Place
from lsm_monitor.water.judge import Judgement
from tests.unit.water.scenes import DRY, FLOODED, PONDING, SEVERE, START, UNKNOWN, WET

NORTH, SOUTH, EAST, FAR = (CameraId(name) for name in ("north", "south", "east", "far"))
UNDERPASS = Place(frozenset({NORTH, SOUTH, EAST}), min_cameras=2)


def says(camera_id: CameraId, *levels: WaterLevel) -> Judgement:
    """Return what a camera says about its zones 0, 1, ..."""
    states = tuple(
        WaterState(camera_id, ZoneId(str(zone)), level, 0.3, 0.6, START, START)
        for zone, level in enumerate(levels)
    )
    return Judgement(states, (), ())


def agreed(corroboration: Corroboration, judgement: Judgement) -> list[bool]:
    return [state.is_corroborated for state in corroboration.of(judgement).states]


def test_one_camera_is_no_corroboration_and_two_are() -> None:
    corroboration = Corroboration([UNDERPASS])
    assert agreed(corroboration, says(NORTH, FLOODED)) == [False]
    assert agreed(corroboration, says(SOUTH, PONDING)) == [True]
    assert agreed(corroboration, says(NORTH, FLOODED)) == [True]


def test_two_zones_of_one_camera_do_not_vouch_for_each_other() -> None:
    corroboration = Corroboration([UNDERPASS])
    assert agreed(corroboration, says(NORTH, FLOODED, SEVERE)) == [False, False]
    assert agreed(corroboration, says(SOUTH, DRY, PONDING)) == [False, True]


@pytest.mark.parametrize("level", [DRY, WET, UNKNOWN])
def test_a_camera_that_sees_no_standing_water_any_more_takes_its_word_back(
    level: WaterLevel,
) -> None:
    corroboration = Corroboration([UNDERPASS])
    corroboration.of(says(SOUTH, PONDING))
    assert agreed(corroboration, says(NORTH, FLOODED)) == [True]
    assert agreed(corroboration, says(SOUTH, level)) == [False]
    assert agreed(corroboration, says(NORTH, FLOODED)) == [False]


def test_a_camera_of_another_place_says_nothing_about_this_one() -> None:
    corroboration = Corroboration([UNDERPASS, Place(frozenset({FAR, EAST}), 2)])
    corroboration.of(says(FAR, SEVERE))
    assert agreed(corroboration, says(NORTH, FLOODED)) == [False]
    assert agreed(corroboration, says(EAST, FLOODED)) == [True]


def test_a_camera_that_is_not_watched_any_more_is_no_witness() -> None:
    corroboration = Corroboration([UNDERPASS])
    corroboration.of(says(SOUTH, SEVERE))
    corroboration.forget(SOUTH)
    assert agreed(corroboration, says(NORTH, SEVERE)) == [False]


def test_without_places_nothing_is_touched() -> None:
    judgement = says(NORTH, FLOODED)
    assert Corroboration().of(judgement) is judgement
