"""What is wrong with a picture by what its camera has learnt about its own view."""

from __future__ import annotations

import copy
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.capture.camera_memory import CameraMemory
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.types import HealthCode
from tests.unit.capture.views import (
    Camera,
    Image,
    as_infrared,
    codes_of,
    place,
    turned,
)

BLURRED, MOVED = (HealthCode.BLURRED,), (HealthCode.CAMERA_MOVED,)
OBSTRUCTED = (HealthCode.OBSTRUCTED,)
HERE, ELSEWHERE = place(1), place(2)
NIGHT = np.asarray(HERE * 0.4, np.uint8)


@cache
def _who_knows_here() -> Camera:
    return Camera().learns(HERE)


def knows_here() -> Camera:
    return copy.deepcopy(_who_knows_here())


def covered(image: Image, fraction: float) -> Image:
    hidden = image.copy()
    hidden[:, : round(fraction * image.shape[1])] = (60, 50, 40)
    return hidden


def blurred(image: Image, sigma_px: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def rolled(image: Image, degrees: float) -> Image:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.1)
    return np.asarray(cv2.warpAffine(image, matrix, (width, height)), np.uint8)


FAULTS = [
    pytest.param(ELSEWHERE, MOVED, id="looks elsewhere"),
    pytest.param(turned(HERE, 0.05), MOVED, id="turned right"),
    pytest.param(turned(HERE, 0.0, 0.06), MOVED, id="tilted"),
    pytest.param(rolled(HERE, 12), MOVED, id="rolled"),
    pytest.param(blurred(HERE, 6), BLURRED, id="out of focus"),
    pytest.param(blurred(HERE, 12), BLURRED, id="far out of focus"),
    pytest.param(covered(HERE, 0.6), OBSTRUCTED, id="half covered"),
    pytest.param(covered(HERE, 0.8), OBSTRUCTED, id="mostly covered"),
]


@pytest.mark.parametrize(("image", "codes"), FAULTS)
def test_each_fault_is_seen_in_the_first_picture_and_gone_with_the_last(
    image: Image, codes: tuple[HealthCode, ...]
) -> None:
    camera = knows_here()
    assert codes_of(camera.sees(image, 4)) == [codes] * 4
    assert codes_of(camera.sees(HERE, 2)) == [()] * 2


@pytest.mark.parametrize(("image", "codes"), FAULTS)
def test_nothing_is_said_about_a_view_that_nobody_knows(
    image: Image, codes: tuple[HealthCode, ...]
) -> None:
    del codes
    assert codes_of(Camera().sees(image, 3)) == [()] * 3


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(turned(HERE, 0.006), id="a mast in the wind"),
        pytest.param(covered(HERE, 0.2), id="a pillar"),
        pytest.param(blurred(HERE, 1.0), id="a little soft"),
        pytest.param(as_infrared(HERE), id="infra-red light"),
    ],
)
def test_what_is_ordinary_is_usable(image: Image) -> None:
    assert codes_of(knows_here().sees(image, 4)) == [()] * 4


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.35, 1.5), offset=st.floats(-20, 40), gamma=st.floats(0.7, 1.4))
def test_light_alone_is_no_fault(gain: float, offset: float, gamma: float) -> None:
    lit = 255 * (HERE / 255.0) ** gamma * gain + offset
    (verdict,) = knows_here().sees(np.clip(lit, 0, 255).astype(np.uint8))
    assert verdict.usable


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_place_is_never_moved_against_itself_and_always_against_another(seed: int) -> None:
    camera = Camera().learns(place(seed))
    assert codes_of(camera.sees(place(seed), 2)) == [()] * 2
    assert codes_of(camera.sees(place(seed + 20_000), 2)) == [MOVED] * 2


def test_a_turned_camera_is_never_taken_for_the_reference_however_long_it_stays_so() -> None:
    camera = knows_here()
    assert set(codes_of(camera.sees(ELSEWHERE, 300))) == {MOVED}
    assert codes_of(camera.sees(HERE)) == [()]


def test_a_restart_does_not_make_the_turned_view_the_reference() -> None:
    camera = knows_here()
    camera.sees(ELSEWHERE, 5)
    kept = CameraMemory.from_bytes(camera.check.memory().to_bytes())
    after = Camera(QualityCheck(QualityRules(), kept))
    assert codes_of(after.sees(ELSEWHERE, 3)) == [MOVED] * 3
    assert codes_of(after.sees(HERE, 2)) == [()] * 2


def test_what_was_learnt_before_a_restart_is_known_with_the_first_picture_after_it() -> None:
    kept = CameraMemory.from_bytes(knows_here().check.memory().to_bytes())
    for image, codes in ((blurred(HERE, 6), BLURRED), (ELSEWHERE, MOVED), (HERE, ())):
        (verdict,) = Camera(QualityCheck(QualityRules(), kept)).sees(image)
        assert verdict.codes == codes


def test_after_forgetting_the_present_view_is_the_right_one() -> None:
    camera = knows_here()
    assert codes_of(camera.sees(ELSEWHERE, 2)) == [MOVED] * 2
    camera.check.forget()
    assert set(codes_of(camera.learns(ELSEWHERE).sees(ELSEWHERE, 2))) == {()}
    assert codes_of(camera.sees(HERE, 2)) == [MOVED] * 2


def test_a_camera_that_is_aimed_while_it_begins_to_learn_keeps_the_last_view() -> None:
    camera = Camera()
    camera.sees(ELSEWHERE, 10)
    camera.learns(HERE)
    assert codes_of(camera.sees(HERE, 2)) == [()] * 2
    assert codes_of(camera.sees(ELSEWHERE, 2)) == [MOVED] * 2


def test_faults_are_known_by_night_once_a_night_was_seen() -> None:
    camera = knows_here().learns(NIGHT)
    for image, codes in (
        (turned(NIGHT, 0.05), MOVED),
        (blurred(NIGHT, 6), BLURRED),
        (covered(NIGHT, 0.7), OBSTRUCTED),
    ):
        assert codes_of(copy.deepcopy(camera).sees(image, 3)) == [codes] * 3


def test_a_turned_camera_is_known_in_the_first_night_by_its_edges_by_day() -> None:
    assert codes_of(knows_here().sees(turned(NIGHT, 0.06), 3)) == [MOVED] * 3


def test_infrared_light_is_told_and_the_pictures_are_judged() -> None:
    verdicts = knows_here().sees(as_infrared(HERE), 4)
    assert {verdict.notes for verdict in verdicts} == {(HealthCode.INFRARED,)}
    assert all(verdict.usable for verdict in verdicts)


def test_a_grey_cover_is_no_infrared_light() -> None:
    cloth = np.full_like(NIGHT, 50)
    cloth[::2] = 46  # a weave
    camera = knows_here().learns(NIGHT)
    assert codes_of(camera.sees(cloth, 3, sigma=0.0))[0] in (OBSTRUCTED, (HealthCode.BLANK,))


def test_drops_that_stay_on_the_lens_are_told_and_pictures_are_judged() -> None:
    rng = np.random.default_rng(5)
    drops = np.zeros(HERE.shape[:2], np.uint8)
    for _ in range(30):
        at = int(rng.integers(30, 610)), int(rng.integers(50, 310))
        cv2.circle(drops, at, int(rng.integers(20, 40)), 255, -1)
    wet = np.where(drops[..., None] > 0, blurred(HERE, 10), HERE)
    camera = knows_here()
    assert all(verdict.notes == () for verdict in camera.sees(wet, 5))
    verdicts = camera.sees(wet, 45)
    assert all(verdict.usable for verdict in verdicts)
    assert verdicts[-1].notes == (HealthCode.LENS_DIRTY,)


def test_water_over_the_lower_half_is_no_fault() -> None:
    """A flood takes the road's structure; a camera that calls it covered would be blind."""
    flood = HERE.copy()
    flood[200:] = (110, 96, 74)
    assert codes_of(knows_here().sees(flood, 4)) == [()] * 4


def test_an_exposure_that_hunts_about_an_edge_does_not_keep_a_camera_from_learning() -> None:
    at_the_edge = HERE * (90.0 / HERE.mean())
    camera = Camera()
    for number in range(40):
        hunting = at_the_edge * (1 + 0.05 * (-1) ** number)
        camera.sees(np.clip(hunting, 0, 255).astype(np.uint8))
    shown = np.clip(at_the_edge, 0, 255).astype(np.uint8)
    assert codes_of(camera.sees(turned(shown, 0.06), 3)) == [MOVED] * 3
