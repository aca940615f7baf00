"""What operators ask of the running daemon by MQTT, done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from tests.integration.brokers import Notes, RealBroker
from tests.integration.daemon_process import DaemonProcess
from tests.rtsp_faults import FaultyCamera

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TIMEOUT_S = 60.0
BASE = "lsm/v1/test"


@pytest.fixture(scope="module")
def clip() -> Clip:
    scene = StreetScene(SceneStyle())
    # Key pictures that differ: a camera that repeats itself counts as frozen.
    return encode_clip((scene.render(0.0, i / 4)[0] for i in range(48)), fps=4, gop_s=1.0)


class Operator:
    """Publishes commands, and reads the answers."""

    def __init__(self, broker: RealBroker, notes: Notes) -> None:
        self._notes = notes
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self._count = 0

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, topic: str, **content: object) -> dict[str, str]:
        """Publish a command below the base and return its reply."""
        self._count += 1
        mine = f"ask-{self._count}"
        payload = json.dumps({**content, "correlation_id": mine})
        self._client.publish(f"{BASE}/{topic}", payload, qos=1).wait_for_publish(TIMEOUT_S)

        def replies() -> list[dict[str, str]]:
            told = [json.loads(payload) for payload in self._notes.on(f"{BASE}/cmd/reply")]
            return [reply for reply in told if reply["correlation_id"] == mine]

        self._notes.wait_until(lambda _: bool(replies()), timeout_s=TIMEOUT_S)
        return replies()[0]


@pytest.fixture
def operator(broker: RealBroker, notes: Notes) -> Iterator[Operator]:
    running = Operator(broker, notes)
    yield running
    running.close()


def config_text(broker: RealBroker, url: str) -> str:
    return (
        "version: 1\nsite: test\nstate_dir: state\nhttp: {enabled: false}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}, heartbeat_s: 1, "
        "discovery: {enabled: true}}\n"
        "profiles: {storm: {priority: 9, interval_s: 1}}\n"
        "groups: {low: {trigger: rain, fast_interval_s: 1}}\n"
        "cameras:\n"
        f"  bridge: {{url: {url}, interval_s: 20, group: low, backoff_max_s: 1}}\n"
    )


def wait_for(notes: Notes, topic: str, payload: bytes) -> None:
    notes.wait_until(
        lambda _: notes.on(f"{BASE}/{topic}")[-1:] == [payload], timeout_s=TIMEOUT_S
    )


def test_commands_are_obeyed_answered_and_survive_a_restart(
    tmp_path: Path, broker: RealBroker, notes: Notes, operator: Operator, clip: Clip
) -> None:
    with FaultyCamera(clip) as street:
        text = config_text(broker, street.url)
        with DaemonProcess(tmp_path, text) as daemon:
            wait_for(notes, "camera/bridge/availability", b"online")

            picture = operator.ask("cmd/snapshot", camera="bridge")
            assert picture["outcome"] == "done"
            notes.wait_until(
                lambda _: bool(notes.on(f"{BASE}/camera/bridge/snapshot")), TIMEOUT_S
            )
            jpeg = notes.on(f"{BASE}/camera/bridge/snapshot")[-1]
            shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert shown is not None
            assert shown.std() > 10

            # Rain: from one picture in 20 s to one per second.
            assert operator.ask("context/rain/set", value="ON")["outcome"] == "done"
            wait_for(notes, "context/rain/state", b"ON")
            state = f"{BASE}/camera/bridge/state"
            seen = {json.loads(payload)["observed_at"] for payload in notes.on(state)}
            notes.wait_until(
                lambda _: (
                    len({json.loads(p)["observed_at"] for p in notes.on(state)} - seen) >= 5
                ),
                timeout_s=TIMEOUT_S,
            )

            assert operator.ask("camera/bridge/enabled/set", value="OFF")["outcome"] == "done"
            wait_for(notes, "camera/bridge/enabled/state", b"OFF")
            assert operator.ask("camera/quay/enabled/set", value="OFF")["outcome"] == "refused"
            assert operator.ask("cmd/reload")["outcome"] == "done"
            assert daemon.terminate() == 0
        connections = street.connections
        with DaemonProcess(tmp_path, text) as daemon:
            daemon.wait_for_log("watching 0 cameras")
            notes.wait_until(
                lambda _: notes.on(f"{BASE}/status")[-1:] == [b"online"], timeout_s=TIMEOUT_S
            )
            assert operator.ask("camera/bridge/enabled/set", value="default")["outcome"] == (
                "done"
            )
            street.wait_for_connections(connections + 1, timeout_s=TIMEOUT_S)
            assert operator.ask("camera/bridge/profile/set", value="calm")["outcome"] == (
                "refused"
            )
            wait_for(notes, "camera/bridge/profile/state", b"default")
            answer = operator.ask("camera/bridge/profile/set", value="storm")
            assert (answer["outcome"], answer["detail"]) == ("done", "1 retimed")
            wait_for(notes, "camera/bridge/profile/state", b"storm")
            assert operator.ask("camera/bridge/mode/set", value="patrol")["outcome"] == "done"
            wait_for(notes, "camera/bridge/mode/state", b"patrol")
            # It rains: visited once per second, each time by a connection of its own.
            street.wait_for_connections(street.connections + 3, timeout_s=TIMEOUT_S)
            assert daemon.terminate() == 0
