"""The last hour as a small curve."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.history.tiers import Reading
from lsm_monitor.types import CameraId, WaterLevel
from lsm_monitor.web.spark import Sparks

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BRIDGE = CameraId("bridge")
SECONDS_AGO = st.lists(st.integers(0, 7200), max_size=150).map(lambda ago: sorted(ago)[::-1])


@given(SECONDS_AGO)
def test_there_is_at_most_a_point_a_minute_in_order_and_none_is_older(ago: list[int]) -> None:
    sparks = Sparks()
    for seconds in ago:
        sparks.add(BRIDGE, NOW - timedelta(seconds=seconds), 0.5)
    times = [time for time, _ in sparks.of(BRIDGE, NOW)]
    minutes = [time // 60 for time in times]
    assert minutes == sorted(set(minutes))
    assert len(times) <= 60
    assert all(NOW.timestamp() - time < 3600 for time in times)


def test_a_minute_shows_its_most_water() -> None:
    sparks = Sparks()
    for seconds, fraction in ((1, 0.1), (20, 0.3), (40, 0.2)):
        sparks.add(BRIDGE, NOW + timedelta(seconds=seconds), fraction)
    assert [fraction for _, fraction in sparks.of(BRIDGE, NOW)] == [0.3]


def test_what_is_recalled_comes_before_what_is_there() -> None:
    sparks = Sparks()
    sparks.add(BRIDGE, NOW, 0.3)
    fractions = {9: 0.1, 5: None, 7: 0.2}
    readings = [
        Reading(NOW - timedelta(minutes=minutes), fraction, fraction, WaterLevel.WET, None)
        for minutes, fraction in fractions.items()
    ]
    sparks.recall(BRIDGE, readings)
    assert [fraction for _, fraction in sparks.of(BRIDGE, NOW)] == [0.1, 0.2, 0.3]


def test_cameras_that_are_gone_are_forgotten() -> None:
    sparks = Sparks()
    sparks.add(BRIDGE, NOW, 0.3)
    sparks.keep_only(frozenset())
    assert sparks.of(BRIDGE, NOW) == []
