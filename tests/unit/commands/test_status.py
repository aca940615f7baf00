from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from lsm_monitor.commands.status import as_json_line, describe, fetch_status
from lsm_monitor.config.models import HttpConfig
from lsm_monitor.errors import DaemonUnreachableError
from lsm_monitor.types import CameraHealth, HealthCode, HealthState, WaterLevel
from tests.certificates import self_signed
from tests.http_daemon import BRIDGE, STARTED_AT, HttpDaemon

WITHOUT_TIME_ZONES = (
    b"HTTP/1.1 200 OK\r\n\r\n"
    b'{"schema":"lsm.stats/1","site":"a","sent_at":"2026-07-01T00:00:00","version":"1",'
    b'"model":"m","started_at":"2026-07-01T00:00:00","ready":true,"cameras":{},"metrics":{}}'
)


@pytest.fixture
def daemon() -> Iterator[HttpDaemon]:
    with HttpDaemon() as running:
        yield running


def test_a_person_sees_the_daemon_and_a_row_for_each_camera(daemon: HttpDaemon) -> None:
    daemon.see(WaterLevel.FLOODED, 0.256)
    daemon.metrics.mqtt_connected.set(1)
    stats, _ = fetch_status("127.0.0.1", daemon.port)
    first, broker, header, row = describe(stats, STARTED_AT + timedelta(hours=5))
    assert first.startswith("west: lsm-monitor ")
    assert first.endswith(", compact 1.0 on torch-fp32, up 5 h, ready")
    assert broker == "broker connected, 0 messages wait"
    assert header.split() == ["CAMERA", "STATE", "LEVEL", "WATER", "QUALITY", "PICTURE", "WHY"]
    assert row.split() == ["bridge", "starting", "flooded", "25.6%", "-", "5", "h", "ago"]


def test_the_cameras_with_most_water_come_first(daemon: HttpDaemon) -> None:
    daemon.see(WaterLevel.WET, 0.03)
    stats, _ = fetch_status("127.0.0.1", daemon.port)
    bridge = stats.cameras["bridge"]
    dry = bridge.model_copy(update={"zones": {}})
    more = stats.model_copy(update={"cameras": {"a-dry": dry, "bridge": bridge}})
    rows = list(describe(more, STARTED_AT))[3:]
    assert [row.split()[0] for row in rows] == ["bridge", "a-dry"]


def test_a_cameras_fault_is_shown_without_control_characters(daemon: HttpDaemon) -> None:
    health = CameraHealth(
        BRIDGE, HealthState.OFFLINE, (HealthCode.NOT_FOUND,), "no\x1b[31m path", STARTED_AT, 1
    )
    daemon.overview.on_health(health)
    stats, _ = fetch_status("127.0.0.1", daemon.port)
    row = list(describe(stats, STARTED_AT))[-1]
    assert row.endswith("unusable  never    NOT_FOUND no?[31m path")


def test_nothing_that_a_stranger_says_reaches_the_terminal_as_a_command(
    daemon: HttpDaemon,
) -> None:
    stats, _ = fetch_status("127.0.0.1", daemon.port)
    hostile = {"site": "\x1b]0;x\x07", "version": "1\n2", "model": "\x9b2J"}
    for line in describe(stats.model_copy(update=hostile), STARTED_AT):
        assert line.isprintable()


def test_json_is_one_line_and_what_the_daemon_sent(daemon: HttpDaemon) -> None:
    _, body = fetch_status("127.0.0.1", daemon.port)
    line = as_json_line(body)
    assert "\n" not in line
    assert json.loads(line) == json.loads(body)


def test_without_a_daemon_the_error_says_where_to_look() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DaemonUnreachableError, match="systemctl status lsm-monitor"):
            fetch_status("127.0.0.1", port)


@pytest.mark.parametrize("host", ["a..example", "a" * 70, "a b"])
def test_a_name_that_no_host_can_have_is_a_clear_error(host: str) -> None:
    with pytest.raises(DaemonUnreachableError, match=f"no daemon answers on {host}"):
        fetch_status(host, 9109)


@pytest.mark.parametrize("token", ["t0ken\nt0ken", "t0ken\r", "ключ"])
def test_a_token_that_cannot_be_sent_is_a_clear_error_without_it(token: str) -> None:
    with pytest.raises(DaemonUnreachableError, match="--token-file") as error:
        fetch_status("127.0.0.1", 9109, token=SecretStr(token))
    assert token not in str(error.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{",
        WITHOUT_TIME_ZONES,
    ],
)
def test_another_programs_answer_is_a_clear_error(answer: bytes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def serve() -> None:
            client, _ = other.accept()
            with client:
                client.recv(4096)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(DaemonUnreachableError):
            fetch_status("127.0.0.1", other.getsockname()[1])
        thread.join()


def test_a_daemon_with_tls_is_asked_with_its_certificate_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    # For another name than we ask by: it is trusted because it is that very file.
    made, other = self_signed(tmp_path, "DNS:flood.example"), self_signed(tmp_path / "other")
    config = HttpConfig(port=0, tls_cert_file=made.chain, tls_key_file=made.key)
    with HttpDaemon(config) as daemon:
        stats, _ = fetch_status("127.0.0.1", daemon.port, certificate=made.chain)
        assert stats.site == "west"
        for wrong in (other.chain, other.key, tmp_path / "missing.pem"):
            with pytest.raises(DaemonUnreachableError):
                fetch_status("127.0.0.1", daemon.port, certificate=wrong)
