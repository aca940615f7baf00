from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lsm_monitor.model.postprocess import Letterbox, WaterRule, capped_hw, logits_to_frame
from lsm_monitor.model.preprocess import LITE_NORMALISATION, Preprocessor, fit

Probability = npt.NDArray[np.float32]

sides = st.integers(1, 4000)


@st.composite
def probabilities(draw: st.DrawFn) -> Probability:
    """Draw pictures of few values, so that pieces form and thresholds are met exactly."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    return rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], shape).astype(np.float32)


quarters = st.sampled_from([0.25, 0.5, 0.75])
eighths = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])  # exact in floating point
rules = st.builds(WaterRule, threshold=quarters, core_threshold=quarters, core_share=eighths)


def test_padding_never_reaches_the_frame() -> None:
    logits = torch.full((1, 1, 256, 256), 20.0)
    logits[..., 144:, :] = -20.0  # padding of a 16:9 frame
    letterbox = Letterbox((1080, 1920), (576, 1024), 1024)
    probability = logits_to_frame(logits, letterbox, (1080, 1920))
    assert probability[..., :1070, :].min() > 0.99


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(40, 400),
    width=st.integers(40, 400),
    row=st.floats(0.3, 0.7),
)
def test_a_water_line_comes_back_where_it_was_in_the_frame(
    height: int, width: int, row: float
) -> None:
    line_px = round(row * height)
    image = np.zeros((height, width, 3), np.uint8)
    image[line_px:] = 255
    prepared = Preprocessor(256, LITE_NORMALISATION, "off")(image)
    # A "model" that calls bright pixels water, at a quarter of the input's resolution.
    logits = torch.nn.functional.avg_pool2d(prepared.image[None, :1] * 20.0, 4)
    found = logits_to_frame(logits, prepared.letterbox, (height, width))[0, 0] >= 0.5
    found_px = height - found[:, width // 2].sum().item()
    # Half a cell of the low-res logits, in pixels of the frame, and one of rounding.
    assert abs(found_px - line_px) <= 2.0 * max(height, width) / 256 + 1.0


def test_probabilities_may_be_asked_for_at_a_smaller_size() -> None:
    letterbox = fit((1080, 1920), 512)
    probability = logits_to_frame(torch.zeros(2, 1, 128, 128), letterbox, (360, 640))
    assert probability.shape == (2, 1, 360, 640)
    assert (probability == 0.5).all()


def test_logits_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 1, h, w\), got \(1, 2, 8, 8\)"):
        logits_to_frame(torch.zeros(1, 2, 8, 8), fit((8, 8), 32), (8, 8))


@settings(deadline=None, max_examples=50)
@given(height=sides, width=sides)
def test_a_capped_size_never_grows_and_never_exceeds_the_cap(height: int, width: int) -> None:
    capped = capped_hw((height, width), 640)
    assert max(capped) <= 640
    assert capped[0] <= height
    assert capped[1] <= width
    assert capped == (height, width) or max(capped) == 640


@pytest.mark.parametrize(
    ("core_share", "expected"),
    [
        pytest.param(0.0, "abcd", id="no-core-asked-for"),
        pytest.param(0.2, "abc", id="a-quarter-is-enough"),
        pytest.param(0.25, "abc", id="exactly-a-quarter"),
        pytest.param(0.3, "ab", id="a-quarter-is-too-little"),
        pytest.param(1.0, "a", id="all-pixels-must-vouch"),
    ],
)
def test_a_piece_without_enough_of_a_core_is_removed_whole(
    core_share: float, expected: str
) -> None:
    pieces = {"a": [0.9, 0.9], "b": [0.9, 0.6], "c": [0.9, 0.6, 0.6, 0.6], "d": [0.5, 0.8]}
    row: list[float] = []
    kept: list[float] = []
    for name, piece in pieces.items():
        row += [*piece, 0.3]
        kept += [*(piece if name in expected else [0.0] * len(piece)), 0.3]
    rule = WaterRule(threshold=0.5, core_threshold=0.9, core_share=core_share)
    found = rule.apply(np.array([row], np.float32))
    assert found.dtype == np.float32
    assert np.array_equal(found, np.array([kept], np.float32))


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    lake = np.array([[0.9, 0.1], [0.1, 0.6]], np.float32)
    rule = WaterRule(threshold=0.5, core_threshold=0.9, core_share=0.5)
    assert np.array_equal(rule.apply(lake), lake)


@settings(deadline=None, max_examples=50)
@given(probability=probabilities(), rule=rules)
def test_water_is_only_ever_removed_and_nothing_else_is_touched(
    probability: Probability, rule: WaterRule
) -> None:
    before = probability.copy()
    found = rule.apply(probability)
    assert np.array_equal(probability, before)
    assert found.shape == probability.shape
    assert found.dtype == np.float32
    is_removed = found != probability
    assert (found[is_removed] == 0.0).all()
    assert (probability[is_removed] >= rule.threshold).all()


@settings(deadline=None, max_examples=50)
@given(probability=probabilities(), threshold=quarters, core_threshold=quarters)
def test_a_rule_that_asks_for_no_core_changes_nothing(
    probability: Probability, threshold: float, core_threshold: float
) -> None:
    rule = WaterRule(threshold, core_threshold, core_share=0.0)
    assert np.array_equal(rule.apply(probability), probability)


@settings(deadline=None, max_examples=50)
@given(probability=probabilities(), rule=rules)
def test_applying_a_rule_twice_is_applying_it_once(
    probability: Probability, rule: WaterRule
) -> None:
    once = rule.apply(probability)
    assert np.array_equal(rule.apply(once), once)


@settings(deadline=None, max_examples=50)
@given(probability=probabilities(), threshold=quarters, cores=st.tuples(quarters, eighths))
def test_asking_for_more_never_keeps_more(
    probability: Probability, threshold: float, cores: tuple[float, float]
) -> None:
    core_threshold, core_share = cores
    kept = WaterRule(threshold, core_threshold, core_share).apply(probability)
    for stricter in (
        WaterRule(threshold, min(1.0, core_threshold + 0.25), core_share),
        WaterRule(threshold, core_threshold, min(1.0, core_share + 0.25)),
    ):
        assert (stricter.apply(probability) <= kept).all()


@settings(deadline=None, max_examples=50)
@given(probability=probabilities(), rule=rules, factor=st.integers(2, 4))
def test_a_rule_says_the_same_at_every_resolution_and_orientation(
    probability: Probability, rule: WaterRule, factor: int
) -> None:
    found = rule.apply(probability)
    larger = np.ones((factor, factor), np.float32)
    assert np.array_equal(rule.apply(np.kron(probability, larger)), np.kron(found, larger))
    assert np.array_equal(rule.apply(np.ascontiguousarray(probability.T)), found.T)
    assert np.array_equal(rule.apply(probability[:, ::-1]), found[:, ::-1])
