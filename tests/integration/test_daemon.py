"""The daemon as a process: camera in, events out, whatever happens in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.demo.rtsp_wire import Login
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.history.history import HISTORY_FILE
from lsm_monitor.history.query import read
from lsm_monitor.types import CameraId
from tests.integration.brokers import Notes, RealBroker
from tests.integration.daemon_process import DaemonProcess, events, wait_for_event

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

FPS = 4


def street_clip(water_level: float) -> Clip:
    """Return two seconds of the rendered street, water at a constant level."""
    scene = StreetScene(SceneStyle())
    return encode_clip((scene.render(water_level, i / FPS)[0] for i in range(2 * FPS)), fps=FPS)


@pytest.fixture(scope="module")
def dry() -> Clip:
    return street_clip(0.0)


@pytest.fixture(scope="module")
def flooded() -> Clip:
    return street_clip(1.0)


def config_text(broker: RealBroker, **urls: str) -> str:
    cameras = "".join(f"  {name}: {{{settings}}}\n" for name, settings in urls.items())
    return (
        "version: 1\nsite: test\nstate_dir: state\nhttp: {port: 0}\n"
        "evidence: {hard_frames_per_day: 24}\n"
        f"mqtt: {{host: 127.0.0.1, port: {broker.port}, protocol: 3.1.1}}\n"
        "defaults: {interval_s: 0.5, smoothing_s: 0.5, open_for_s: 1, level_up_for_s: 1, "
        "close_for_s: 1, stale_after_s: 60, read_timeout_s: 3, backoff_max_s: 1}\n"
        f"cameras:\n{cameras}"
    )


def ask(daemon: DaemonProcess, path: str) -> Any:  # noqa: ANN401 - JSON or bytes
    """Return what the daemon's page is told at ``path``."""
    (port,) = re.findall(r"listening on 127.0.0.1 port (\d+)", daemon.log)
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30.0)
    with contextlib.closing(connection):
        connection.request("GET", path)
        body = connection.getresponse().read()
    return json.loads(body) if body.startswith(b"{") else body


def flooded_card(daemon: DaemonProcess) -> dict[str, str]:
    """Return the card of the one camera once the page shows its flood and a picture."""
    pause, card = threading.Event(), dict[str, str]()
    for _ in range(100):
        card = dict(ask(daemon, "/api/cameras")["cameras"][0])
        if card["severity"] and card["picture"]:
            return card
        pause.wait(0.1)
    pytest.fail(f"the page never showed it: {card}")


def test_a_flood_arrives_from_open_to_close_and_sigterm_ends_cleanly(
    tmp_path: Path, broker: RealBroker, notes: Notes, dry: Clip, flooded: Clip
) -> None:
    with RtspServer(flooded) as camera:
        port = int(camera.url.split(":")[2].split("/")[0])
        with DaemonProcess(
            tmp_path, config_text(broker, bridge=f"url: {camera.url}")
        ) as daemon:
            wait_for_event(notes, "open")
            card = flooded_card(daemon)
            picture = ask(daemon, f"/api/cameras/bridge/picture.jpg?v={card['picture']}")
            (episode,) = ask(daemon, "/api/episodes")["episodes"]
            camera.stop()
            with RtspServer(dry, port=port):
                wait_for_event(notes, "close")
                assert daemon.terminate() == 0
    told = events(notes)
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert {event["event_id"] for event in told} == {told[0]["event_id"]}
    assert (told[0]["event_type"], told[-1]["event_type"]) == ("open", "close")
    assert notes.on("lsm/v1/test/status") == [b"online", b"offline"]
    active = notes.on(f"lsm/v1/test/event/active/{told[0]['event_id']}")
    assert active[-1] == b""
    # The page showed it while it lasted.
    assert picture.startswith(b"\xff\xd8")
    assert (episode["event_id"], episode["camera"]) == (told[0]["event_id"], "bridge")
    # The page's curve rose to the flood and fell again.
    readings = read(
        tmp_path / "state" / HISTORY_FILE,
        CameraId("bridge"),
        datetime.now(UTC) - timedelta(hours=1),
        datetime.now(UTC),
    )
    (curve,) = (
        [r.fraction for r in zone if r.fraction is not None] for zone in readings.values()
    )
    assert max(curve) > 0.3
    assert curve[-1] < max(curve) / 2
    # Nobody has taught the model a rendered street: it has its doubts.
    assert list((tmp_path / "state" / "hard_frames" / "bridge").glob("*.jpg"))


def test_a_killed_daemon_loses_no_event_and_opens_nothing_twice(
    tmp_path: Path, broker: RealBroker, notes: Notes, dry: Clip, flooded: Clip
) -> None:
    with RtspServer(flooded) as camera:
        port = int(camera.url.split(":")[2].split("/")[0])
        with DaemonProcess(
            tmp_path, config_text(broker, bridge=f"url: {camera.url}")
        ) as daemon:
            wait_for_event(notes, "open")
            daemon.kill()
            notes.wait_for("lsm/v1/test/status", b"offline")  # the last will
            daemon.start()
            camera.stop()
            with RtspServer(dry, port=port):
                wait_for_event(notes, "close")
    told = events(notes)
    assert [event["event_type"] for event in told].count("open") == 1
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert len({event["event_id"] for event in told}) == 1


def test_an_event_recorded_while_the_broker_is_away_survives_a_kill(
    tmp_path: Path, broker: RealBroker, flooded: Clip
) -> None:
    broker.stop()
    with RtspServer(flooded) as camera:
        text = config_text(broker, bridge=f"url: {camera.url}")
        with DaemonProcess(tmp_path, text) as daemon:
            daemon.wait_for_log("open #1")
            daemon.kill()
            broker.start()
            with broker.subscriber("lsm/#") as notes:
                daemon.start()
                wait_for_event(notes, "open")
                assert daemon.terminate() == 0
    assert [event["event_type"] for event in events(notes)].count("open") == 1


def test_a_camera_with_a_wrong_password_disturbs_nobody_and_shows_no_secret(
    tmp_path: Path, broker: RealBroker, notes: Notes, flooded: Clip
) -> None:
    environ = {"GOOD": "s3cret/&?@:", "BAD": "wr0ng#%pass"}
    with RtspServer(flooded, login=Login("lsm", environ["GOOD"])) as camera:
        login = f"url: {camera.url}, username: lsm, password: "
        text = config_text(broker, a=login + '"${env:GOOD}"', b=login + '"${env:BAD}"')
        with DaemonProcess(tmp_path, text, environ) as daemon:
            wait_for_event(notes, "open")
            notes.wait_until(
                lambda messages: any(b"UNAUTHORIZED" in m.payload for m in messages)
            )
            command_line = Path(f"/proc/{daemon.running.pid}/cmdline").read_bytes().decode()
            assert daemon.terminate() == 0
    everything = daemon.log + command_line + repr(notes.all())
    assert "s3cret" not in everything
    assert "wr0ng" not in everything
    assert {event["camera"] for event in events(notes)} == {"a"}


def test_a_blind_camera_is_unknown_and_never_dry(
    tmp_path: Path, broker: RealBroker, notes: Notes
) -> None:
    text = config_text(broker, gone="url: rtsp://127.0.0.1:1/x, stale_after_s: 1")
    with DaemonProcess(tmp_path, text) as daemon:
        notes.wait_until(
            lambda messages: any(b"CONNECTION_REFUSED" in m.payload for m in messages),
            timeout_s=60,
        )
        topic = "lsm/v1/test/camera/gone/state"
        notes.wait_until(lambda messages: any(m.topic == topic for m in messages))
        assert daemon.terminate() == 0
    assert {json.loads(payload)["level"] for payload in notes.on(topic)} == {"unknown"}


@pytest.mark.parametrize(
    ("break_it", "code", "expected"),
    [
        (
            lambda text: text.replace("site:", "sight:"),
            78,
            "monitor.yaml:2: sight: unknown key",
        ),
        (lambda text: text + "model: {bundle: /nowhere}\n", 78, "/nowhere"),
        (lambda text: text.replace("state_dir: state", "state_dir: log/x"), 69, "state folder"),
    ],
)
def test_what_an_operator_must_mend_ends_with_its_exit_code_and_nothing_started(
    tmp_path: Path,
    broker: RealBroker,
    notes: Notes,
    *,
    break_it: Callable[[str], str],
    code: int,
    expected: str,
) -> None:
    text = break_it(config_text(broker, bridge="url: rtsp://127.0.0.1:1/x"))
    with DaemonProcess(tmp_path, text) as daemon:
        assert daemon.wait() == code
    assert expected in daemon.log
    assert notes.all() == []
