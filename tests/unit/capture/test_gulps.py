"""A camera is simulated packet by packet: what has been sent, and what has been read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.capture.gulps import REST_S, Gulps

SENT_S = 120.0
HOUR_S = 3600.0


def read_stream(
    fps: float, clock_rate: float, read_s: float, sent_s: float = SENT_S
) -> tuple[int, float]:
    """Read a camera, for two minutes; return the wake-ups, and the longest delay in seconds.

    Args:
        fps: Its packets per second.
        clock_rate: How fast its clock runs.
        read_s: How long reading a packet takes that is already there.
        sent_s: How long the camera sends.
    """
    gulps, now_s, index, wakes, longest_s = Gulps(), 0.0, 0, 0, 0.0
    while now_s < sent_s:
        arrives_s = index / fps
        longest_s = max(longest_s, now_s - arrives_s)
        took_s = max(arrives_s - now_s, 0.0) + read_s
        wakes += arrives_s > now_s
        now_s += took_s
        if gulps.may_rest(now_s, arrives_s * clock_rate, took_s):
            now_s += REST_S
            wakes += 1
        index += 1
    return wakes, longest_s


@pytest.mark.parametrize("clock_rate", [0.5, 0.999, 1.0, 1.001, 2.0, 50.0])
@given(fps=st.floats(1.0, 60.0), read_s=st.floats(0.0, 0.0045))
def test_whatever_the_cameras_clock_says_reading_never_falls_behind(
    clock_rate: float, fps: float, read_s: float
) -> None:
    _, longest_s = read_stream(fps, clock_rate, read_s)
    assert longest_s < 2 * REST_S


@given(fps=st.floats(1.0, 30.0), read_s=st.floats(0.005, 0.03))
def test_on_a_machine_where_every_read_seems_to_wait_it_falls_behind_by_little(
    fps: float, read_s: float
) -> None:
    _, longest_s = read_stream(fps, 1.0, read_s)
    assert longest_s < 2 * REST_S


@pytest.mark.parametrize("read_s", [0.006, 0.02])
def test_what_is_forgiven_does_not_add_up_over_hours(read_s: float) -> None:
    _, longest_s = read_stream(25.0, 1.0, read_s, sent_s=HOUR_S)
    assert longest_s < 2 * REST_S


def test_a_camera_of_25_pictures_a_second_wakes_its_thread_less_than_7_times_a_second() -> None:
    wakes, _ = read_stream(25.0, 1.0, 0.0001)
    assert wakes < 7 * SENT_S


@pytest.mark.parametrize("step_s", [-1000.0, -1.0, 1.0, 1000.0])
def test_a_step_of_the_cameras_clock_stops_the_resting_for_a_minute_at_most(
    step_s: float,
) -> None:
    gulps = Gulps()
    for index in range(3000):
        gulps.may_rest(index / 25, index / 25, 0.04)
    rests = [
        gulps.may_rest(120.0 + passed_s, 120.0 + passed_s + step_s, 0.04)
        for passed_s in range(75)
    ]
    assert any(rests[65:])
