from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lsm_monitor.config.gauges import PlaceConfig
from lsm_monitor.config.models import CameraConfig, LevelConfig, LevelsConfig, ZoneConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.decisions import Decisions, Seen
from lsm_monitor.runtime.judging import corroboration_of, judge_of
from lsm_monitor.types import (
    CameraHealth,
    CameraId,
    EventKind,
    Frame,
    FrameStamp,
    HealthCode,
    HealthState,
    ModelIdentity,
    OutboundMessage,
    PromisedEvidence,
    WaterEvent,
    WaterLevel,
    WaterMask,
    WaterState,
    ZoneId,
)
from lsm_monitor.water.judge import Judgement
from tests.fakes import FakeClock

BRIDGE = CameraId("bridge")
START = datetime(2026, 7, 1, tzinfo=UTC)
CAMERA = CameraConfig(
    url="rtsp://192.0.2.1/1",
    smoothing_s=0.1,
    open_for_s=3,
    level_up_for_s=3,
    close_for_s=3,
    interval_s=1,
    stale_after_s=10,
)


class Street:
    """One camera's decisions, fed by hand, and everything that came out of them."""

    def __init__(
        self, folder: Path, clock: FakeClock, *, watched: tuple[CameraId, ...] = (BRIDGE,)
    ) -> None:
        self.clock = clock
        self.metrics = Metrics()
        self.retained: list[OutboundMessage] = []
        self.outbox = Outbox.open(folder / "outbox.sqlite3", now=clock.now())
        messages = Messages(
            Topics("lsm/v1", "west"),
            Provenance("west", "0.1.0", "abc123", ModelIdentity("m", "1", "0" * 64, "torch")),
        )
        self.decisions = Decisions(
            episodes=self.outbox.episodes(),
            outbox=self.outbox,
            messages=messages,
            retain=self.retained.append,
            wake_publisher=lambda: None,
            state_every_s=60.0,
            metrics=self.metrics,
            clock=clock,
        )
        for name in watched:
            self.decisions.watch(name, lambda open_: judge_of(BRIDGE, CAMERA, episodes=open_))

    def see(self, fraction: float, *, seconds: int = 1) -> None:
        """Show a picture of which the upper ``fraction`` is water, once per second."""
        probability = np.zeros((100, 4), np.float32)
        probability[: round(100 * fraction)] = 0.9
        for _ in range(seconds):
            self.clock.now_s += 1.0
            stamp = FrameStamp(BRIDGE, 0, 0, None, self.clock.now(), self.clock.now_s)
            self.decisions.on_mask(WaterMask(stamp, probability, 0.5, 1.0))
            self.decisions.on_tick()

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.now_s += 1.0
            self.decisions.on_tick()

    def events(self) -> list[tuple[str, int]]:
        """Return kind and number of the events in the outbox."""
        rows = self.outbox.pending(1000)
        payloads = [row.message for row in rows if row.message.topic.endswith("/event")]
        contents = [json.loads(message.payload) for message in payloads]
        return [(content["event_type"], content["seq"]) for content in contents]

    def states(self) -> list[str]:
        """Return the levels that the camera's topic was told, in order."""
        topic = "lsm/v1/west/camera/bridge/state"
        return [json.loads(m.payload)["level"] for m in self.retained if m.topic == topic]


@pytest.fixture
def street(tmp_path: Path, clock: FakeClock) -> Street:
    return Street(tmp_path, clock)


def test_a_flood_is_told_from_open_to_close(street: Street) -> None:
    street.see(0.0, seconds=3)
    street.see(0.3, seconds=6)
    street.see(0.6, seconds=6)
    street.see(0.0, seconds=6)
    assert street.events() == [("open", 1), ("update", 2), ("close", 3)]
    assert street.states()[0] == "dry"
    assert "severe" in street.states()


class Keeper:
    """Promises a picture, and notes what it gets and what was durable by then."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self.kept: list[tuple[EventKind, Seen | None, bool]] = []

    def promise(self, event: WaterEvent, seen: Seen | None) -> PromisedEvidence:
        return PromisedEvidence(f"{event.episode.seq}.jpg" if seen else None)

    def keep(self, event: WaterEvent, seen: Seen | None, payload: bytes) -> None:
        durable = [row.message.payload for row in self._street.outbox.pending(99)]
        self.kept.append((event.kind, seen, payload in durable))


def test_evidence_is_made_of_the_picture_that_decided_once_the_event_is_durable(
    street: Street,
) -> None:
    keeper = street.decisions._evidence = Keeper(street)
    for number in range(6):
        street.clock.now_s += 1.0
        stamp = FrameStamp(BRIDGE, 0, number, None, street.clock.now(), street.clock.now_s)
        frame = Frame(stamp, np.zeros((100, 4, 3), np.uint8))
        mask = WaterMask(stamp, np.full((100, 4), 0.9, np.float32), 0.5, 1.0)
        street.decisions.on_mask(mask, frame)
    (kind, seen, is_durable), *_ = keeper.kept
    assert (kind, is_durable) == (EventKind.OPEN, True)
    assert seen is not None
    assert seen[0].stamp == seen[1].stamp
    street.wait(12)
    assert [(kind, seen) for kind, seen, _ in keeper.kept[1:]] == [(EventKind.STALE, None)]
    payloads = [json.loads(row.message.payload) for row in street.outbox.pending(99)]
    named = {payload["event_type"]: payload["evidence"]["snapshot"] for payload in payloads}
    assert named == {"open": "1.jpg", "stale": None}


def test_an_event_is_durable_before_the_publisher_hears_of_it(
    tmp_path: Path, street: Street
) -> None:
    seen: list[int] = []
    path = tmp_path / "outbox.sqlite3"

    def look() -> None:
        with sqlite3.connect(path) as connection:
            seen.append(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])
        connection.close()

    street.decisions._wake_publisher = look
    street.see(0.3, seconds=6)
    assert seen == [2]  # the event and its retained copy


def test_a_blind_camera_is_unknown_and_its_episode_stale(street: Street) -> None:
    street.see(0.3, seconds=6)
    street.wait(12)
    street.see(0.3)
    assert street.events() == [("open", 1), ("stale", 2), ("resume", 3)]
    assert street.states()[-2:] == ["unknown", "flooded"]


def test_a_restart_opens_nothing_twice_and_goes_on_counting(
    tmp_path: Path, clock: FakeClock, street: Street
) -> None:
    street.see(0.3, seconds=6)
    street.outbox.close()
    again = Street(tmp_path, clock)
    again.see(0.3, seconds=20)
    again.see(0.0, seconds=6)
    assert again.events() == [("open", 1), ("close", 2)]


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_peak_of_an_episode_survives_a_restart(
    is_killed: bool,  # noqa: FBT001
    tmp_path: Path,
    clock: FakeClock,
    street: Street,
) -> None:
    street.see(0.3, seconds=6)
    street.see(0.35, seconds=70 if is_killed else 5)
    street.see(0.3, seconds=6)
    if not is_killed:
        street.outbox.close()
    again = Street(tmp_path, clock)
    again.see(0.0, seconds=6)
    assert again.events() == [("open", 1), ("close", 2)]
    close = json.loads(again.outbox.pending(9)[2].message.payload)
    assert close["water"]["fraction_peak"] == 0.35


def test_an_episode_whose_camera_was_taken_out_is_closed_and_claims_nothing(
    tmp_path: Path, clock: FakeClock, street: Street
) -> None:
    street.see(0.3, seconds=6)
    street.outbox.close()
    again = Street(tmp_path, clock, watched=())
    again.decisions.close_unclaimed()
    assert again.events() == [("open", 1), ("close", 2)]
    payloads = [json.loads(row.message.payload or "{}") for row in again.outbox.pending(9)]
    close = next(p for p in payloads if p.get("event_type") == "close")
    assert (close["level"], close["reason_codes"]) == ("unknown", ["NOT_WATCHED"])
    assert again.outbox.episodes() == []


def test_episodes_that_are_still_watched_are_left_alone(
    tmp_path: Path, clock: FakeClock, street: Street
) -> None:
    street.see(0.3, seconds=6)
    street.outbox.close()
    again = Street(tmp_path, clock)
    again.decisions.close_unclaimed()
    assert again.events() == [("open", 1)]


def test_new_rules_take_over_the_open_episode(street: Street) -> None:
    street.see(0.3, seconds=6)
    higher = CAMERA.model_copy(
        update={"levels": LevelsConfig(severe=LevelConfig(enter=0.28, leave=0.27))}
    )
    street.decisions.watch(BRIDGE, lambda open_: judge_of(BRIDGE, higher, episodes=open_))
    street.see(0.3, seconds=6)
    assert street.events() == [("open", 1), ("update", 2)]


def test_the_episode_of_a_zone_that_is_gone_is_closed(street: Street) -> None:
    street.see(0.3, seconds=6)
    other = CAMERA.model_copy(
        update={"zones": {"lane": ZoneConfig(points=((0, 0), (1, 0), (1, 1)))}}
    )
    street.decisions.watch(BRIDGE, lambda open_: judge_of(BRIDGE, other, episodes=open_))
    assert street.events() == [("open", 1), ("close", 2)]


def test_a_camera_that_is_forgotten_closes_its_episode_and_says_no_more(
    street: Street,
) -> None:
    street.see(0.3, seconds=6)
    street.decisions.forget(BRIDGE)
    street.see(0.6, seconds=6)
    assert street.events() == [("open", 1), ("close", 2)]


def test_a_camera_that_is_switched_off_is_not_available(
    street: Street, clock: FakeClock
) -> None:
    usable = CameraHealth(BRIDGE, HealthState.USABLE, (), "", clock.now(), 0)
    street.decisions.on_health(usable)
    street.decisions.forget(BRIDGE)
    street.decisions.on_health(usable)  # it speaks until its process has let go of it
    told = [m.payload for m in street.retained if m.topic.endswith("availability")]
    assert told == [b"online", b"offline"]


def test_a_camera_that_is_watched_again_is_told_at_once_though_it_is_as_unknown_as_before(
    street: Street,
) -> None:
    street.wait(2)
    street.decisions.forget(BRIDGE)  # the broker forgets its states
    street.wait(2)
    street.decisions.watch(BRIDGE, lambda open_: judge_of(BRIDGE, CAMERA, episodes=open_))
    street.wait(2)
    assert street.states() == ["unknown", "unknown"]


def test_a_disk_that_refuses_silences_nothing_and_gets_the_same_bytes_later(
    tmp_path: Path, clock: FakeClock, street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    street.see(0.0)
    assert street.outbox._shelf.file is not None
    connection = street.outbox._shelf.file._connection
    connection.execute("PRAGMA query_only = 1")
    street.see(0.3, seconds=6)
    street.see(0.6, seconds=6)
    told = [row.message for row in street.outbox.pending(9)]
    assert street.events() == [("open", 1), ("update", 2)]
    assert caplog.text.count("events are not durable") == 1
    connection.execute("PRAGMA query_only = 0")
    street.wait(1)
    assert street.outbox.is_durable
    street.outbox.close()
    assert [row.message for row in Street(tmp_path, clock).outbox.pending(9)] == told


def test_a_file_that_could_only_be_read_late_leaves_no_episode_open_for_ever(
    tmp_path: Path, clock: FakeClock, street: Street
) -> None:
    street.see(0.3, seconds=6)
    street.outbox.close()
    path = tmp_path / "outbox.sqlite3"
    path.rename(tmp_path / "away")
    path.mkdir()  # nothing can be opened here
    again = Street(tmp_path, clock)
    again.see(0.3, seconds=8)
    assert again.events() == [("open", 1)]
    path.rmdir()
    (tmp_path / "away").rename(path)
    again.wait(15)
    assert sorted(again.events()) == [("close", 2), ("open", 1), ("open", 1), ("stale", 2)]
    assert len(again.outbox.episodes()) == 1


def test_a_still_street_is_not_told_again_before_the_heartbeat(street: Street) -> None:
    street.see(0.0, seconds=50)
    assert len(street.states()) == 1
    street.see(0.0, seconds=20)
    assert len(street.states()) == 2


def test_health_is_published_with_availability_and_stands_in_the_event(
    street: Street, clock: FakeClock
) -> None:
    health = CameraHealth(
        BRIDGE, HealthState.OFFLINE, (HealthCode.STALLED,), "silent", clock.now(), 2
    )
    street.decisions.on_health(health)
    assert [m.payload for m in street.retained if m.topic.endswith("availability")] == [
        b"offline"
    ]
    street.see(0.3, seconds=6)
    payload = json.loads(street.outbox.pending(1)[0].message.payload)
    assert payload["quality"] == {"state": "offline", "codes": ["STALLED"]}


def test_events_are_counted_by_kind_and_level(street: Street) -> None:
    street.see(0.3, seconds=6)
    name = 'lsm_events_total{camera="bridge",type="open",level="flooded"}'
    assert street.metrics.snapshot()[name] == 1.0


def test_good_news_that_waits_is_counted_and_told_when_its_time_has_come(
    street: Street,
) -> None:
    street.see(0.6, seconds=8)
    street.see(0.3, seconds=8)
    assert street.events() == [("open", 1)]
    assert street.metrics.snapshot()['lsm_alerts_suppressed_total{reason="rate"}'] == 1.0
    street.see(0.3, seconds=300)
    assert street.events() == [("open", 1), ("update", 2)]
    update = json.loads(street.outbox.pending(1000)[-1].message.payload)
    assert (update["previous_level"], update["level"]) == ("severe", "flooded")
    assert update["suppressed"] == 1


def test_a_camera_that_another_vouches_for_is_certain_as_long_as_that_one_is_watched(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = CameraId("harbour")
    corroboration = corroboration_of({"port": PlaceConfig(cameras=(BRIDGE, other))})
    monkeypatch.setattr(street.decisions, "_corroboration", corroboration)
    street.decisions.watch(other, lambda open_: judge_of(other, CAMERA, episodes=open_))
    wet = WaterState(other, ZoneId("full"), WaterLevel.FLOODED, 0.3, 0.6, START, START)
    corroboration.of(Judgement((wet,), (), ()))
    probability = np.full((100, 4), 0.6, np.float32)

    def certainty_after(seconds: int) -> str:
        for _ in range(seconds):
            street.clock.now_s += 1.0
            stamp = FrameStamp(BRIDGE, 0, 0, None, street.clock.now(), street.clock.now_s)
            street.decisions.on_mask(WaterMask(stamp, probability, 0.5, 1.0))
        topic = "lsm/v1/west/camera/bridge/state"
        told = [json.loads(m.payload) for m in street.retained if m.topic == topic]
        return str(told[-1]["certainty"])

    assert certainty_after(6) == "observed"
    event = json.loads(street.outbox.pending(1)[0].message.payload)
    assert (event["confidence"], event["certainty"]) == (pytest.approx(0.6), "observed")
    street.decisions.forget(other)
    assert certainty_after(1) == "likely"
