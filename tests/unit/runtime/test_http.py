"""The HTTP port as a client sees it: real requests to the real server."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

from lsm_monitor.config.models import HttpConfig
from lsm_monitor.errors import HttpPortError
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime import http as http_port
from lsm_monitor.runtime.http import HttpService
from lsm_monitor.runtime.http_models import Stats
from lsm_monitor.runtime.memory import watch_memory
from lsm_monitor.types import CameraHealth, HealthCode, HealthState, WaterLevel
from tests.certificates import self_signed
from tests.http_daemon import BRIDGE, STARTED_AT, HttpDaemon


@pytest.fixture
def daemon() -> Iterator[HttpDaemon]:
    with HttpDaemon() as running:
        yield running


def test_healthz_fails_while_a_part_stands_still(daemon: HttpDaemon) -> None:
    assert daemon.get("/healthz") == (200, b'{"alive":true,"standing_still":[]}')
    daemon.standing_still = ["inference"]
    assert daemon.get("/healthz") == (503, b'{"alive":false,"standing_still":["inference"]}')


def test_readyz_is_true_from_the_first_decision_to_the_last(daemon: HttpDaemon) -> None:
    assert daemon.get("/readyz") == (
        503,
        b'{"ready":false,"cameras":1,"deciding":0,"durable":true}',
    )
    daemon.see(WaterLevel.DRY, 0.0)
    assert daemon.get("/readyz") == (
        200,
        b'{"ready":true,"cameras":1,"deciding":1,"durable":true}',
    )
    daemon.see(WaterLevel.UNKNOWN)
    assert daemon.get("/readyz")[0] == 503


def test_metrics_are_what_prometheus_parses(daemon: HttpDaemon) -> None:
    watch_memory(daemon.metrics, lambda: "cpu")
    daemon.see(WaterLevel.FLOODED, 0.25)
    status, body = daemon.get("/metrics")
    samples = {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert status == 200
    assert samples["lsm_zone_water_ratio", ("bridge", "lane")] == 0.25
    assert samples["lsm_resident_memory_bytes", ("daemon",)] > 10e6
    assert samples["lsm_gpu_memory_used_bytes", ()] == 0.0


def test_the_memory_of_the_gpu_is_what_everybody_on_it_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics = Metrics()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (6 * 2**30, 16 * 2**30))
    watch_memory(metrics, lambda: "cuda")
    assert metrics.snapshot()["lsm_gpu_memory_used_bytes"] == 10 * 2**30


def test_a_scraper_gets_only_the_metrics_that_it_names(daemon: HttpDaemon) -> None:
    daemon.metrics.last_frame_at.labels("bridge").set(1_700_000_000.5)
    name = "lsm_camera_last_frame_timestamp_seconds"
    status, body = daemon.get(f"/metrics?name[]={name}&name[]=lsm_no_such")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert set(families) == {name}
    assert [sample.value for sample in families[name].samples] == [1_700_000_000.5]


def test_a_scraper_that_asks_for_openmetrics_gets_it(daemon: HttpDaemon) -> None:
    _, body = daemon.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("kind", ["application/openmetrics-text", "text/plain"])
def test_a_scraper_that_asks_for_a_version_that_is_none_gets_the_usual_one(
    daemon: HttpDaemon, kind: str
) -> None:
    status, body = daemon.get("/metrics", {"Accept": f"{kind}; version=newest"})
    assert status == 200
    assert list(text_string_to_metric_families(body.decode()))


def test_stats_tell_everything_about_every_camera(daemon: HttpDaemon) -> None:
    daemon.see(WaterLevel.FLOODED, 0.25)
    codes = (HealthCode.OPEN_TIMEOUT,)
    daemon.overview.on_health(
        CameraHealth(BRIDGE, HealthState.OFFLINE, codes, "no answer", STARTED_AT, 3)
    )
    status, body = daemon.get("/api/stats")
    stats = Stats.model_validate_json(body)
    bridge = stats.cameras["bridge"]
    assert status == 200
    assert (stats.schema_, stats.site, stats.ready) == ("lsm.stats/1", "west", True)
    assert (bridge.state, bridge.codes) == (HealthState.OFFLINE, ["OPEN_TIMEOUT"])
    assert bridge.connection_quality == "unusable"
    assert bridge.zones["lane"].level is WaterLevel.FLOODED
    assert bridge.expected_fps == pytest.approx(0.1)


def test_the_answer_is_what_the_topic_stats_has(daemon: HttpDaemon) -> None:
    daemon.see(WaterLevel.FLOODED, 0.25)
    answer = json.loads(daemon.get("/api/stats")[1])
    topic = json.loads(daemon.status.stats_json())
    assert answer | {"sent_at": None} == topic | {"sent_at": None}
    assert list(answer) == list(topic)


def test_a_zone_that_cannot_be_seen_does_not_make_invalid_json(daemon: HttpDaemon) -> None:
    daemon.see(WaterLevel.UNKNOWN)
    body = daemon.get("/api/stats")[1]
    stats = json.loads(body, parse_constant=pytest.fail)
    assert stats["cameras"]["bridge"]["zones"]["lane"]["water_fraction"] is None


def test_the_openapi_document_lists_every_endpoint(daemon: HttpDaemon) -> None:
    paths = json.loads(daemon.get("/openapi.json")[1])["paths"]
    assert set(paths) == {"/healthz", "/readyz", "/metrics", "/api/stats"}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /nothing HTTP/1.1", 404),
        ("GET /../../etc/passwd HTTP/1.1", 404),
        ("POST /healthz HTTP/1.1", 405),
        ("nonsense", 400),
        ("G@T / HTTP/1.1", 400),
    ],
)
def test_a_wrong_request_gets_an_answer_and_not_a_traceback(
    daemon: HttpDaemon, request_line: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = daemon.send(f"{request_line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Traceback" not in answer
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_body_that_breaks_the_protocol_ends_the_connection_and_makes_no_traceback(
    daemon: HttpDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with contextlib.suppress(ConnectionResetError):
        daemon.send(head + b"2\r\nab\r\n0\n\r\n")
    assert daemon.get("/healthz")[0] == 200
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_client_that_says_half_a_request_is_cut_off(
    daemon: HttpDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_IDLE_TIMEOUT_S", 0.1)
    with socket.create_connection(("127.0.0.1", daemon.port), 30.0) as client:
        client.sendall(b"GET /healthz HT")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_a_client_that_does_not_read_is_cut_off(
    daemon: HttpDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_IDLE_TIMEOUT_S", 0.2)
    for number in range(2000):
        daemon.metrics.events.labels(f"camera-{number}", "open", "flooded").inc()
    with socket.create_connection(("127.0.0.1", daemon.port), 30.0) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /api/stats HTTP/1.1\r\nHost: x\r\n\r\n"
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            client.sendall(1_000_000 * request)  # answers pile up until the server hangs up


def test_a_client_that_reads_slowly_gets_everything(
    daemon: HttpDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_IDLE_TIMEOUT_S", 0.3)
    for number in range(10_000):
        daemon.metrics.events.labels(f"camera-{number}", "open", "flooded").inc()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30.0)
        client.connect(("127.0.0.1", daemon.port))
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        pause, received, tail = threading.Event(), 0, b""
        while part := client.recv(65536):
            received += len(part)
            tail = (tail + part)[-2000:]
            pause.wait(0.002)
    assert received > 1_000_000
    assert tail.endswith(b"\n")


def test_connections_beyond_all_measure_are_closed_at_once(
    daemon: HttpDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_MAX_CONNECTIONS", 2)
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), 30.0))
            for _ in range(5)
        ]
        with contextlib.suppress(ConnectionResetError):
            assert opened[-1].recv(1) == b""
        opened[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert opened[0].recv(15) == b"HTTP/1.1 200 OK"


def test_a_client_that_does_not_greet_in_tls_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_port, "_IDLE_TIMEOUT_S", 0.2)
    made = self_signed(tmp_path)
    config = HttpConfig(port=0, tls_cert_file=made.chain, tls_key_file=made.key)
    with (
        HttpDaemon(config) as daemon,
        socket.create_connection(("127.0.0.1", daemon.port), 30.0) as client,
    ):
        assert client.recv(1) == b""


def test_stopping_does_not_wait_for_idle_clients() -> None:
    with HttpDaemon() as daemon:
        client = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30.0)
        client.request("GET", "/healthz")
        client.getresponse().read()
    # The context manager has joined the server's thread, with the connection still open here.
    client.close()


def test_a_taken_port_is_named_with_its_key_and_its_owner() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with HttpDaemon() as daemon:
            service = HttpService(daemon.app, HttpConfig(port=port))
        with pytest.raises(HttpPortError) as caught:
            asyncio.run(service.run())
    assert f"port {port}" in str(caught.value)
    assert "'http.port'" in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
