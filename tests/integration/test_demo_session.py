"""The demo's surroundings, all real: camera, broker and subscriber on loopback."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from lsm_monitor.demo.broker import DemoBroker
from lsm_monitor.demo.clip import TICKS_PER_S
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.demo.session import FPS, demo_session, rendered_clip
from lsm_monitor.demo.subscriber import Subscriber
from lsm_monitor.errors import BrokerError, SourceOpenError

WAIT_S = 10.0


@pytest.fixture
def broker() -> Iterator[DemoBroker]:
    with DemoBroker() as broker:
        yield broker


@pytest.fixture
def publisher(broker: DemoBroker) -> Iterator[Client]:
    """A client like the daemon's: its last will says that it is offline."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="publisher")
    client.will_set("lsm/v1/city/status", b"offline", qos=1, retain=True)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


class Inbox:
    """Messages as they come."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def put(self, topic: str, payload: bytes) -> None:
        self._messages.put((topic, payload))

    def wait_for(self, topic: str, payload: bytes) -> None:
        """Return once the message came; others and repetitions before it are passed over."""
        while self._messages.get(timeout=WAIT_S) != (topic, payload):
            pass


def _subscriber(broker: DemoBroker, inbox: Inbox) -> Subscriber:
    return Subscriber(host="127.0.0.1", port=broker.port, prefix="lsm/v1", on_message=inbox.put)


def _publish(client: Client, topic: str, payload: bytes, *, retain: bool = False) -> None:
    client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)


def test_a_subscriber_gets_what_is_published_below_the_prefix(
    broker: DemoBroker, publisher: Client
) -> None:
    inbox = Inbox()
    with _subscriber(broker, inbox):
        _publish(publisher, "other/topic", b"not ours")
        _publish(publisher, "lsm/v1/city/camera/bridge/event", b"{}")
        inbox.wait_for("lsm/v1/city/camera/bridge/event", b"{}")


def test_a_late_subscriber_gets_what_was_retained(
    broker: DemoBroker, publisher: Client
) -> None:
    _publish(publisher, "lsm/v1/city/status", b"online", retain=True)
    inbox = Inbox()
    with _subscriber(broker, inbox):
        inbox.wait_for("lsm/v1/city/status", b"online")


def test_a_subscriber_sees_the_last_will_of_a_daemon_that_died(
    broker: DemoBroker, publisher: Client
) -> None:
    inbox = Inbox()
    with _subscriber(broker, inbox):
        _publish(publisher, "lsm/v1/city/status", b"online", retain=True)
        publisher.loop_stop()
        connection = publisher.socket()
        assert connection is not None
        connection.close()  # no DISCONNECT: as if the process had been killed
        inbox.wait_for("lsm/v1/city/status", b"offline")


def test_a_taken_port_is_said_to_be_taken(broker: DemoBroker) -> None:
    with pytest.raises(BrokerError, match=f"127.0.0.1:{broker.port}"):
        DemoBroker(port=broker.port).start()


def test_a_broker_that_stops_leaves_no_thread_and_no_port() -> None:
    threads = threading.active_count()
    broker = DemoBroker()
    broker.start()
    broker.stop()
    broker.stop()  # once more does no harm
    assert threading.active_count() == threads
    with pytest.raises(BrokerError, match="cannot reach the broker"):
        _subscriber(broker, Inbox()).start()


def test_the_rendered_episode_becomes_a_clip_and_tells_its_progress() -> None:
    done: list[float] = []
    style = SceneStyle(width_px=160, height_px=90, focal_px=115.0)
    clip = rendered_clip(style, seconds=1.0, progress=done.append)
    assert clip.duration_ticks == TICKS_PER_S
    assert done == [(index + 1) / FPS for index in range(FPS)]


def test_a_session_serves_the_own_video_and_a_broker_until_it_ends(
    make_video: Callable[..., io.BytesIO], tmp_path: Path
) -> None:
    video = tmp_path / "own.mp4"
    video.write_bytes(make_video().getvalue())
    threads = threading.active_count()
    with demo_session(video=video) as session:
        assert session.zone is None
        with av.open(session.camera_url, timeout=(WAIT_S, WAIT_S)) as container:
            frame = next(container.decode(video=0))
            assert frame.to_ndarray(format="rgb24").shape == (48, 64, 3)
            assert np.abs(frame.to_ndarray(format="gray").astype(int)).mean() < 5
        with Subscriber(
            host="127.0.0.1", port=session.broker_port, prefix="lsm", on_message=lambda *_: None
        ):
            pass  # the broker answers
    assert threading.active_count() == threads


def test_a_session_with_a_bad_video_starts_nothing(tmp_path: Path) -> None:
    threads = threading.active_count()
    with pytest.raises(SourceOpenError), demo_session(video=tmp_path / "absent.mp4"):
        pass
    assert threading.active_count() == threads
