from __future__ import annotations

import numpy as np
import pytest

from lsm_monitor.capture.detail import GRID_WH, Detail
from lsm_monitor.capture.edges import FIELD_WH
from lsm_monitor.capture.look import ESTABLISHED_PICTURES, Light, Look
from lsm_monitor.capture.stillness import StillnessCheck, Tiles, Usual

LIVELY = Usual(mean=0.02, variance=0.0004)


def established(still_share: float) -> Look:
    grid = np.ones(GRID_WH[::-1], np.float32)
    field = np.ones(FIELD_WH[::-1], np.complex64)
    look = Look.first(Light(is_grey=False, brightness=2), field, Detail(grid, grid))
    for _ in range(ESTABLISHED_PICTURES):
        look = look.with_still_share(still_share)
        look = look.with_picture(field, Detail(grid, grid), 1.0, None)
    return look


def tiles(seed: int, still_share: float) -> Tiles:
    """Return tiles of which the first ``still_share`` are the same for every seed."""
    same = np.random.default_rng(0).uniform(0, 255, (500, 100))
    other = np.random.default_rng(seed).uniform(0, 255, (500, 100))
    still = np.arange(500)[:, None] < still_share * 500
    return np.where(still, same, other).astype(np.float32)


def frozen(still_share: float, usual: Usual | None, interval_s: float = 10.0) -> list[bool]:
    check = StillnessCheck(frozen_after_s=120.0, frozen_after_pictures=5)
    return [
        check.is_frozen(tiles(seed, still_share), seed * interval_s, usual)
        for seed in range(1, 7)
    ]


def test_a_lively_camera_is_frozen_with_the_third_alike_picture() -> None:
    """Two thirds of the tiles: what H.264 leaves alone of a frozen picture under a clock."""
    assert frozen(0.66, LIVELY) == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("still_share", "usual"),
    [
        pytest.param(0.4, LIVELY, id="fewer tiles than a frozen picture keeps"),
        pytest.param(0.66, Usual(0.6, 0.0004), id="a camera that filters its noise"),
        pytest.param(0.66, Usual(0.1, 0.02), id="a camera that is now lively, now not"),
        pytest.param(0.95, None, id="a camera that nobody knows"),
    ],
)
def test_what_may_be_a_quiet_scene_is_not_frozen_yet(
    still_share: float, usual: Usual | None
) -> None:
    assert not any(frozen(still_share, usual))


def test_copies_within_a_few_seconds_are_no_proof() -> None:
    assert not any(frozen(1.0, LIVELY, interval_s=1.0))


def test_the_odd_picture_before_the_encoder_settles_is_forgiven() -> None:
    check = StillnessCheck(frozen_after_s=120.0, frozen_after_pictures=5)
    check.is_frozen(tiles(99, 0.0), 0.0, LIVELY)
    verdicts = [check.is_frozen(tiles(1, 1.0), 10.0 * n, LIVELY) for n in range(1, 5)]
    assert verdicts == [False, False, True, True]


def test_the_first_pictures_of_a_frozen_camera_do_not_pass_for_its_habit() -> None:
    look = established(0.05)
    limit = look.usual.limit
    for _ in range(5):
        look = look.with_still_share(0.95)
    assert limit == look.usual.limit == 0.5


def test_how_much_stands_still_is_learnt_while_a_view_is_new() -> None:
    assert established(0.8).usual.mean == pytest.approx(0.8)
    assert established(0.8).usual.limit > 0.9
