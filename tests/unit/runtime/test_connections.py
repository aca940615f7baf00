from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.connections import Connection, ConnectionQuality, Connections
from lsm_monitor.types import CameraId, HealthCode
from tests.fakes import FakeClock

BRIDGE = CameraId("bridge")


class Hour:
    """A camera whose counters a test moves minute by minute."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.clock = FakeClock()
        self.connections = Connections(metrics=self.metrics, clock=self.clock)
        self.connections.sample()

    def minute(self, pictures: int = 0, failures: tuple[HealthCode, ...] = ()) -> None:
        self.metrics.frames.labels(BRIDGE, "decoded").inc(pictures)  # not an end: not counted
        self.metrics.frames.labels(BRIDGE, "inferred").inc(pictures)
        for code in failures:
            self.metrics.reconnects.labels(BRIDGE, code).inc()
        self.clock.now_s += 60.0
        self.connections.sample()

    def connection(self, interval_s: float = 10.0) -> Connection:
        return self.connections.connection(BRIDGE, interval_s)


def test_only_the_last_hour_counts() -> None:
    hour = Hour()
    hour.minute(failures=(HealthCode.STALLED, HealthCode.ENDED))
    for _ in range(59):
        hour.minute()
    now = hour.connection()
    assert (now.reconnects, now.stalls) == (2, 1)
    hour.minute()
    now = hour.connection()
    assert (now.reconnects, now.stalls) == (0, 0)


def test_a_camera_that_was_let_go_and_comes_back_begins_its_hour_anew() -> None:
    hour = Hour()
    for _ in range(10):
        hour.minute(pictures=6, failures=(HealthCode.STALLED,))
    hour.metrics.forget_camera(BRIDGE)
    hour.minute(pictures=3)
    assert hour.connection() == Connection(0.1, 3 / 300, 0, 0)
    hour.minute(failures=(HealthCode.STALLED,))
    assert hour.connection().reconnects == 1


def test_a_sample_may_be_taken_while_an_answer_is_made() -> None:
    hour = Hour()

    class Late(float):
        """A time at which the event loop takes a sample whenever it is compared."""

        def __sub__(self, other: float) -> float:
            hour.connections.sample()
            return float(self) - other

    for _ in range(10):
        hour.minute(pictures=6)
    hour.clock.now_s = Late(hour.clock.now_s)
    hour.connections.sample()
    assert hour.connection().fps == pytest.approx(0.1)


def test_the_rate_is_that_of_the_last_five_minutes() -> None:
    hour = Hour()
    for _ in range(10):
        hour.minute(pictures=0)
    assert hour.connection().fps == 0.0
    for _ in range(5):
        hour.minute(pictures=6)
    assert hour.connection().fps == pytest.approx(hour.connection().expected_fps)


def test_a_slow_camera_gets_a_longer_window() -> None:
    hour = Hour()
    for _ in range(9):
        hour.minute(pictures=0)
    assert hour.connection(interval_s=120.0).fps is None  # nine minutes are not five intervals
    hour.minute(pictures=1)
    assert hour.connection(interval_s=120.0).fps == pytest.approx(1 / 600)


def test_nothing_is_claimed_before_the_first_samples() -> None:
    hour = Hour()
    assert hour.connection() == Connection(0.1, None, 0, 0)
    assert hour.connection().quality(is_up=True) is None


@pytest.mark.parametrize(
    ("share", "reconnects", "expected"),
    [
        (1.0, 0, ConnectionQuality.EXCELLENT),
        (1.0, 1, ConnectionQuality.FAIR),
        (0.8, 0, ConnectionQuality.FAIR),
        (1.0, 3, ConnectionQuality.POOR),
        (0.5, 0, ConnectionQuality.POOR),
        (0.05, 0, ConnectionQuality.UNUSABLE),
    ],
)
def test_the_verdict(share: float, reconnects: int, expected: ConnectionQuality) -> None:
    assert Connection(0.1, 0.1 * share, reconnects, 0).quality(is_up=True) is expected
    offline = Connection(0.1, 0.1 * share, reconnects, 0).quality(is_up=False)
    assert offline is ConnectionQuality.UNUSABLE


ORDER = list(ConnectionQuality)


@given(
    share=st.floats(0, 2),
    better=st.floats(0, 2),
    reconnects=st.integers(0, 20),
    fewer=st.integers(0, 20),
)
def test_more_pictures_and_fewer_reconnects_are_never_worse(
    share: float, better: float, reconnects: int, fewer: int
) -> None:
    bad = Connection(1.0, min(share, better), max(reconnects, fewer), 0).quality(is_up=True)
    good = Connection(1.0, max(share, better), min(reconnects, fewer), 0).quality(is_up=True)
    assert bad is not None
    assert good is not None
    assert ORDER.index(good) <= ORDER.index(bad)


def test_the_service_samples_once_a_minute() -> None:
    hour = Hour()
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        hour.clock.now_s += seconds
        hour.metrics.reconnects.labels(BRIDGE, "ENDED").inc()
        if len(sleeps) == 3:
            raise asyncio.CancelledError

    hour.clock.sleep = sleep  # type: ignore[method-assign]  # ends the endless loop
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(hour.connections.run())
    assert sleeps == [60.0, 60.0, 60.0]
    assert hour.connection().reconnects == 2
