from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from lsm_monitor.capture import wire
from lsm_monitor.capture.packet_ring import RingLimits
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.types import CameraHealth, CameraId, FrameStamp, HealthCode, HealthState

NOW = datetime(2026, 7, 1, 12, 0, 0, 123456, UTC)
STAMP = FrameStamp(CameraId("bridge"), 3, 7, 1.25, NOW, 99.5)
HEALTH = CameraHealth(
    CameraId("bridge"), HealthState.OFFLINE, (HealthCode.STALLED,), "gone", NOW, 4
)
SPEC = SourceSpec(
    camera_id=CameraId("bridge"),
    url="rtsp://192.0.2.1/1",
    username="admin",
    password=SecretStr("s3cret"),
    transport="tcp",
    decode="keyframes",
    interval_s=10.0,
    open_timeout_s=5.0,
    read_timeout_s=5.0,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "message",
    [
        wire.Forget(CameraId("bridge")),
        wire.Retime(CameraId("bridge"), 2.5),
        wire.Visit(CameraId("bridge")),
        wire.LogAs("warning", "json"),
        wire.CutClip(CameraId("bridge"), 7, 99.5, 119.5),
        wire.Clip(7, "no packets came"),
        wire.Clip(7, codec="h264", begins_mono_s=98.25, duration_s=20.0),
        wire.Unusable(1, STAMP, (HealthCode.DARK, HealthCode.FROZEN)),
        wire.Health(2, HEALTH),
        wire.Finished(3, CameraId("bridge"), delivered=True, crashed=False),
        wire.Beat({CameraId("bridge"): 4.5}, [("frames", ("bridge", "decoded"), 2.0)]),
    ],
    ids=lambda message: message.kind,
)
def test_a_message_arrives_as_it_was_sent(
    ends: tuple[socket.socket, socket.socket], message: wire.Order | wire.News
) -> None:
    wire.send(ends[0], message)
    assert wire.receive(ends[1]) == (message, None)


def test_a_message_too_long_for_a_datagram_arrives_too(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    beat = wire.Beat({}, [("frames", (f"camera-{n}", "decoded"), 1.0) for n in range(5000)])
    wire.send(ends[0], beat)
    assert wire.receive(ends[1]) == (beat, None)


def test_a_picture_arrives_beside_its_message_and_can_be_written_to(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (108, 192, 3), np.uint8)
    taken = wire.Taken(1, STAMP, (108, 192, 3))
    wire.send(ends[0], taken, image.data)
    received = wire.receive(ends[1])
    assert received is not None
    message, memory = received
    assert message == taken
    assert memory is not None
    arrived = np.frombuffer(memory, np.uint8).reshape(108, 192, 3)
    assert np.array_equal(arrived, image)
    arrived[:] = 0


def test_a_password_arrives_and_is_in_no_repr(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ring = RingLimits(10.0, 2**20)
    order = wire.Watch(1, SPEC, 60.0, on_visits=False, stream_epoch=0, health=HEALTH, ring=ring)
    assert "s3cret" not in repr(order.sealed())
    wire.send(ends[0], order.sealed())
    received = wire.receive(ends[1])
    assert received is not None
    assert isinstance(received[0], wire.Watch)
    assert received[0].unsealed() == order
    assert "s3cret" not in repr(received)


def test_an_end_that_is_closed_is_the_end_of_the_messages(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ends[0].close()
    assert wire.receive(ends[1]) is None


def test_whoever_does_not_read_holds_up_the_sender_after_a_few_pictures(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ends[0].settimeout(0)
    image = np.zeros((64, 64, 3), np.uint8)

    def send_many() -> None:
        for _ in range(64):
            wire.send(ends[0], wire.Taken(1, STAMP, (64, 64, 3)), image.data)

    with pytest.raises(BlockingIOError):
        send_many()


def test_pictures_leave_no_descriptors_behind(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        wire.send(ends[0], wire.Taken(1, STAMP, (64, 64, 3)), image.data)
        wire.receive(ends[1])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_many_threads_may_send_without_mixing_their_messages(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    def send_all(name: str) -> None:
        for n in range(50):
            wire.send(ends[0], wire.Retime(CameraId(name), n + 1.0))

    threads = [threading.Thread(target=send_all, args=(f"camera-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    received = [wire.receive(ends[1]) for _ in range(200)]
    for thread in threads:
        thread.join()
    intervals: dict[str, list[float]] = {}
    for message in received:
        assert message is not None
        assert isinstance(message[0], wire.Retime)
        intervals.setdefault(message[0].camera_id, []).append(message[0].interval_s)
    assert all(told == [n + 1.0 for n in range(50)] for told in intervals.values())
