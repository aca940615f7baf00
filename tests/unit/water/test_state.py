from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.types import WaterLevel
from lsm_monitor.water.state import EPISODE_LEVELS, FALLS, RISES, ZoneMachine
from tests.unit.water.scenes import (
    BEGIN_S,
    DRY,
    FLOODED,
    PONDING,
    RULES,
    SEVERE,
    UNKNOWN,
    WET,
    episode_at,
    reading_at,
)

ORDER = [DRY, WET, PONDING, FLOODED, SEVERE]
STEP_S = 5.0
BANDS = RULES.bands()
fractions = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([edge for band in BANDS.values() for edge in (band.enter, band.leave)]),
)


def run(machine: ZoneMachine, *, fraction: float, from_s: float, to_s: float) -> WaterLevel:
    """Show the machine ``fraction`` every 5 s, from ``from_s`` up to and with ``to_s``."""
    t_s = from_s
    while t_s <= to_s:
        machine.observe(reading_at(t_s, fraction))
        t_s += STEP_S
    return machine.level


def machine_at(level: WaterLevel) -> ZoneMachine:
    """Return a machine whose frames so far ended before t = 0 and whose dwells are fresh."""
    if level in EPISODE_LEVELS:
        return ZoneMachine(RULES, episode_at(level))
    machine = ZoneMachine(RULES)
    machine.observe(reading_at(-STEP_S, {DRY: 0.0, WET: 0.03}[level]))
    return machine


def test_every_level_but_the_outer_ones_has_a_way_up_and_a_way_down() -> None:
    assert [RISES[level].to for level in ORDER[:-1]] == ORDER[1:]
    assert [FALLS[level].to for level in ORDER[1:]] == ORDER[:-1]
    assert SEVERE not in RISES
    assert DRY not in FALLS


@pytest.mark.parametrize(
    ("start", "fraction", "dwell_s", "end"),
    [
        pytest.param(DRY, 0.02, 15.0, WET, id="dry-to-wet"),
        pytest.param(WET, 0.009, 120.0, DRY, id="wet-to-dry"),
        pytest.param(WET, 0.08, 30.0, PONDING, id="an-episode-opens"),
        pytest.param(DRY, 0.30, 30.0, FLOODED, id="an-episode-opens-above-ponding"),
        pytest.param(PONDING, 0.25, 15.0, FLOODED, id="up"),
        pytest.param(PONDING, 0.50, 15.0, SEVERE, id="up-over-a-level"),
        pytest.param(SEVERE, 0.39, 120.0, FLOODED, id="down"),
        pytest.param(SEVERE, 0.10, 120.0, PONDING, id="down-over-a-level"),
        pytest.param(PONDING, 0.03, 120.0, WET, id="closed-but-wet"),
        pytest.param(SEVERE, 0.0, 120.0, DRY, id="closed-at-once-when-all-is-dry"),
    ],
)
def test_a_level_changes_when_its_time_is_over_and_not_before(
    start: WaterLevel, fraction: float, dwell_s: float, end: WaterLevel
) -> None:
    machine = machine_at(start)
    assert run(machine, fraction=fraction, from_s=0.0, to_s=dwell_s - STEP_S) is not end
    assert run(machine, fraction=fraction, from_s=dwell_s, to_s=dwell_s) is end


@pytest.mark.parametrize(
    ("level", "fraction"),
    [
        pytest.param(DRY, 0.0199, id="dry"),
        pytest.param(WET, 0.01, id="wet-lower-edge"),
        pytest.param(WET, 0.0799, id="wet-upper-edge"),
        pytest.param(PONDING, 0.04, id="ponding-lower-edge"),
        pytest.param(PONDING, 0.2499, id="ponding-upper-edge"),
        pytest.param(FLOODED, 0.18, id="flooded-lower-edge"),
        pytest.param(FLOODED, 0.4999, id="flooded-upper-edge"),
        pytest.param(SEVERE, 0.40, id="severe-lower-edge"),
    ],
)
def test_nothing_changes_inside_the_band_for_however_long(
    level: WaterLevel, fraction: float
) -> None:
    assert run(machine_at(level), fraction=fraction, from_s=0.0, to_s=1000.0) is level


@given(
    level=st.sampled_from([WET, PONDING, FLOODED, SEVERE]),
    data=st.data(),
)
def test_a_level_never_flaps_while_the_water_stays_in_its_band(
    level: WaterLevel, data: st.DataObject
) -> None:
    above = ORDER[ORDER.index(level) + 1 :]
    end = BANDS[above[0]].enter if above else 1.01
    inside = st.floats(BANDS[level].leave, end, exclude_max=True)
    machine = machine_at(level)
    for i, share in enumerate(data.draw(st.lists(inside, min_size=1, max_size=60))):
        machine.observe(reading_at(60.0 * i, min(share, 1.0)))
        assert machine.level is level
        assert not machine.is_pending


@given(
    start=st.sampled_from([PONDING, FLOODED]),
    calm=st.lists(st.integers(1, 40), max_size=10),
    steps=st.lists(st.integers(1, 14), min_size=20, max_size=20),
    share=st.floats(0.25, 1.0),
)
def test_a_higher_level_comes_at_the_first_frame_after_its_own_time(
    start: WaterLevel, calm: list[int], steps: list[int], share: float
) -> None:
    goal = SEVERE if share >= 0.50 else FLOODED
    machine, t_s = machine_at(start), 0
    for dt_s in calm:
        machine.observe(reading_at(t_s, 0.2 if start is FLOODED else 0.1))
        t_s += dt_s
    began_s = t_s
    for dt_s in steps:
        machine.observe(reading_at(t_s, share))
        is_due = t_s - began_s >= RULES.level_up_for_s
        assert machine.level is (goal if is_due else start)
        t_s += dt_s


@pytest.mark.parametrize(
    ("level", "fraction", "is_pending"),
    [
        pytest.param(DRY, 0.0, False, id="dry"),
        pytest.param(DRY, 0.02, True, id="on-the-way-to-wet"),
        pytest.param(WET, 0.08, True, id="on-the-way-to-an-episode"),
        pytest.param(PONDING, 0.1, False, id="settled"),
        pytest.param(PONDING, 0.03, True, id="on-the-way-to-its-end"),
        pytest.param(SEVERE, 1.0, False, id="nothing-above"),
    ],
)
def test_a_change_is_pending_while_its_time_runs(
    level: WaterLevel, fraction: float, *, is_pending: bool
) -> None:
    machine = machine_at(level)
    machine.observe(reading_at(0.0, fraction))
    assert machine.is_pending is is_pending
    run(machine, fraction=fraction, from_s=5.0, to_s=200.0)
    assert not machine.is_pending


def test_a_camera_that_went_blind_has_nothing_pending() -> None:
    machine = machine_at(WET)
    machine.observe(reading_at(0.0, 0.2))
    assert machine.is_pending
    machine.tick(BEGIN_S + 101.0)
    assert not machine.is_pending


def test_a_single_frame_below_restarts_the_time_to_enter() -> None:
    machine = machine_at(WET)
    run(machine, fraction=0.1, from_s=0.0, to_s=25.0)
    machine.observe(reading_at(26.0, 0.07))
    assert run(machine, fraction=0.1, from_s=30.0, to_s=55.0) is WET
    assert run(machine, fraction=0.1, from_s=60.0, to_s=60.0) is PONDING


def test_an_episode_needs_m_of_n_frames_that_show_it_by_themselves() -> None:
    machine = machine_at(WET)
    for t_s in range(0, 100, 5):
        # The average stays high, but only every other frame, two of five, agrees.
        machine.observe(reading_at(float(t_s), 0.2, instant=0.2 if t_s % 15 == 0 else 0.0))
    assert machine.level is WET
    machine.observe(reading_at(100.0, 0.2))
    machine.observe(reading_at(105.0, 0.2))
    assert machine.level is PONDING


def test_a_higher_level_inside_an_episode_needs_no_m_of_n() -> None:
    machine = machine_at(PONDING)
    machine.observe(reading_at(0.0, 0.3, instant=0.0))
    machine.observe(reading_at(15.0, 0.3, instant=0.0))
    assert machine.level is FLOODED


def test_a_lower_rule_for_opening_than_for_levels_does_not_delay_the_opening() -> None:
    rules = replace(RULES, open_for_s=10.0, level_up_for_s=60.0)
    machine = ZoneMachine(rules)
    machine.observe(reading_at(-5.0, 0.0))
    assert run(machine, fraction=0.6, from_s=0.0, to_s=10.0) is PONDING
    assert run(machine, fraction=0.6, from_s=15.0, to_s=60.0) is SEVERE


@pytest.mark.parametrize(
    ("fraction", "level"),
    [(0.0, DRY), (0.0199, DRY), (0.02, WET), (0.07, WET), (0.9, WET)],
)
def test_the_first_frame_makes_dry_or_wet_and_never_an_episode(
    fraction: float, level: WaterLevel
) -> None:
    machine = ZoneMachine(RULES)
    assert machine.level is UNKNOWN
    machine.observe(reading_at(0.0, fraction))
    assert machine.level is level


@pytest.mark.parametrize("level", [DRY, PONDING, SEVERE])
def test_without_usable_frames_the_level_becomes_unknown_but_not_too_early(
    level: WaterLevel,
) -> None:
    machine = machine_at(level)
    machine.observe(reading_at(0.0, 0.0 if level is DRY else 0.9))
    machine.tick(BEGIN_S + 100.0)
    assert machine.level is level
    machine.tick(BEGIN_S + 100.1)
    assert machine.level is UNKNOWN


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.9])
def test_from_unknown_the_machine_returns_to_its_episode_and_then_takes_the_usual_time(
    fraction: float,
) -> None:
    machine = machine_at(FLOODED)
    machine.observe(reading_at(0.0, 0.3))
    machine.tick(BEGIN_S + 500.0)
    assert machine.level is UNKNOWN
    machine.observe(reading_at(600.0, fraction))
    assert machine.level is FLOODED
    assert run(machine, fraction=fraction, from_s=605.0, to_s=610.0) is FLOODED
    assert (
        run(machine, fraction=fraction, from_s=615.0, to_s=720.0)
        is {
            0.0: DRY,
            0.1: PONDING,
            0.9: SEVERE,
        }[fraction]
    )


def test_after_unknown_the_frames_from_before_do_not_help_to_open() -> None:
    machine = machine_at(WET)
    run(machine, fraction=0.2, from_s=0.0, to_s=20.0)
    machine.tick(BEGIN_S + 400.0)
    machine.observe(reading_at(401.0, 0.2))
    assert run(machine, fraction=0.2, from_s=440.0, to_s=440.0) is WET
    assert run(machine, fraction=0.2, from_s=445.0, to_s=445.0) is PONDING


def test_before_the_first_frame_a_restored_level_becomes_unknown_in_the_usual_time() -> None:
    machine = machine_at(FLOODED)
    machine.tick(BEGIN_S)
    machine.tick(BEGIN_S + 100.0)
    assert machine.level is FLOODED
    machine.tick(BEGIN_S + 100.1)
    assert machine.level is UNKNOWN


def test_a_clock_that_jumps_backwards_delays_a_level_and_invents_none() -> None:
    machine = machine_at(WET)
    run(machine, fraction=0.1, from_s=0.0, to_s=25.0)
    assert run(machine, fraction=0.1, from_s=-900.0, to_s=-875.0) is WET
    assert run(machine, fraction=0.1, from_s=-870.0, to_s=-870.0) is PONDING


def levels_of(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float, WaterLevel]]:
    """Return (time, fraction, level after it) of a run that begins dry."""
    machine = machine_at(DRY)
    t_s, result = 0.0, []
    for dt_s, fraction in steps:
        t_s += dt_s
        machine.observe(reading_at(t_s, fraction))
        result.append((t_s, fraction, machine.level))
    return result


@given(steps=st.lists(st.tuples(st.floats(0.5, 40.0), fractions), min_size=2, max_size=60))
def test_no_level_is_entered_or_left_without_its_own_time(
    steps: list[tuple[float, float]],
) -> None:
    history = levels_of(steps)
    previous = DRY
    for i, (now_s, _, level) in enumerate(history):
        old, new = ORDER.index(previous), ORDER.index(level)
        for crossed in ORDER[old + 1 : new + 1]:
            dwell_s = 30.0 if crossed is PONDING else 15.0
            since = [
                t for t, fraction, _ in history[: i + 1] if fraction < BANDS[crossed].enter
            ]
            lasted_s = now_s - min(t for t, *_ in history if not since or t > since[-1])
            assert lasted_s >= dwell_s - 1e-6  # the clock does not begin at zero
        for crossed in ORDER[new + 1 : old + 1]:
            above = [
                t for t, fraction, _ in history[: i + 1] if fraction >= BANDS[crossed].leave
            ]
            lasted_s = now_s - min(t for t, *_ in history if not above or t > above[-1])
            assert lasted_s >= 120.0 - 1e-6
        previous = level
