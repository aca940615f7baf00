"""The daemon as its service manager and its monitoring see it."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from tests.integration.daemon_process import START_TIMEOUT_S, DaemonProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def dry() -> Clip:
    scene = StreetScene(SceneStyle())
    return encode_clip((scene.render(0.0, i / 4)[0] for i in range(8)), fps=4)


def config_text(url: str, *, http_port: int = 0) -> str:
    return (
        "version: 1\nsite: test\nstate_dir: state\n"
        "mqtt: {host: 127.0.0.1, port: 1}\n"
        f"http: {{port: {http_port}}}\n"
        "defaults: {interval_s: 0.5, open_timeout_s: 2, read_timeout_s: 3}\n"
        f"cameras:\n  bridge: {{url: {url}}}\n"
    )


class Manager:
    """systemd's end of the notification socket."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(START_TIMEOUT_S)

    def until(self, message: str) -> list[str]:
        """Return everything heard up to ``message``."""
        heard: list[str] = []
        while message not in heard:
            heard.append(self._socket.recv(4096).decode())
        return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    running = Manager(tmp_path)
    yield running
    running.close()


def port_of(daemon: DaemonProcess) -> int:
    daemon.wait_for_log("listening on 127.0.0.1 port")
    match = re.search(r"listening on 127\.0\.0\.1 port (\d+)", daemon.log)
    assert match is not None
    return int(match[1])


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()


def test_ready_follows_the_first_decision_and_http_tells_what_was_decided(
    tmp_path: Path, dry: Clip, manager: Manager
) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    with (
        RtspServer(dry) as camera,
        DaemonProcess(tmp_path, config_text(camera.url), environ) as daemon,
    ):
        heard = manager.until("READY=1")
        assert heard.index("STATUS=loading the model") < heard.index(
            "STATUS=waiting for the first picture"
        )
        port = port_of(daemon)
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/readyz") == (
            200,
            '{"ready":true,"cameras":1,"deciding":1,"durable":true}',
        )
        stats = json.loads(get(port, "/api/stats")[1])
        assert stats["cameras"]["bridge"]["zones"]["full"]["level"] in {"dry", "wet"}
        metrics = get(port, "/metrics")[1]
        assert 'lsm_zone_level{camera="bridge",level="' in metrics
        assert 'lsm_build_info{backend="' in metrics
        assert re.search(
            r"^lsm_camera_last_frame_timestamp_seconds\{.*\} 1\.\d+e", metrics, re.MULTILINE
        )
        manager.until("WATCHDOG=1")
        assert daemon.terminate() == 0
    assert "STOPPING=1" in manager.until("STATUS=stopped")


def test_a_daemon_whose_only_camera_is_away_is_ready_all_the_same(
    tmp_path: Path, manager: Manager
) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path)}
    text = config_text("rtsp://127.0.0.1:1/none")
    with DaemonProcess(tmp_path, text, environ) as daemon:
        manager.until("READY=1")
        manager.until("STATUS=watching 1 cameras, 0 of them judged")
        assert get(port_of(daemon), "/readyz")[0] == 503
        assert daemon.terminate() == 0


def test_a_taken_http_port_costs_the_port_and_not_the_watch(
    tmp_path: Path, dry: Clip, manager: Manager
) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path)}
    with socket.socket() as taken, RtspServer(dry) as camera:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = config_text(camera.url, http_port=port)
        with DaemonProcess(tmp_path, text, environ) as daemon:
            manager.until("STATUS=watching 1 cameras, 1 of them judged")
            daemon.wait_for_log(f"cannot listen on 127.0.0.1 port {port}")
            assert daemon.terminate() == 0


def test_systemd_hears_of_every_reload_and_a_wrong_file_changes_nothing(
    tmp_path: Path, manager: Manager
) -> None:
    text = config_text("rtsp://127.0.0.1:1/none")
    with DaemonProcess(tmp_path, text, {"NOTIFY_SOCKET": str(manager.path)}) as daemon:
        manager.until("STATUS=watching 1 cameras, 0 of them judged")
        port = port_of(daemon)
        (tmp_path / "monitor.yaml").write_text(
            text + "  school: {url: rtsp://127.0.0.1:1/two}\n"
        )
        daemon.running.send_signal(signal.SIGHUP)
        heard = manager.until("READY=1")
        assert any(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", text) for text in heard)
        assert set(json.loads(get(port, "/api/stats")[1])["cameras"]) == {"bridge", "school"}

        (tmp_path / "monitor.yaml").write_text(text + "nonsense: 1\n")
        daemon.running.send_signal(signal.SIGHUP)
        manager.until("READY=1")
        assert "lsm_config_last_reload_successful 0.0" in get(port, "/metrics")[1]
        assert set(json.loads(get(port, "/api/stats")[1])["cameras"]) == {"bridge", "school"}
        assert daemon.terminate() == 0
