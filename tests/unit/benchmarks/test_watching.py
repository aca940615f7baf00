"""When verdicts come, by the daemon's own metrics."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from prometheus_client import generate_latest

from benchmarks.bench_hundred_cameras import stages
from benchmarks.watching import Judged
from lsm_monitor.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def port(metrics: Metrics) -> Iterator[int]:
    """Serve the metrics as the daemon does; of the first answer only half arrives."""

    class Handler(BaseHTTPRequestHandler):
        asked: ClassVar[Iterator[int]] = itertools.count()

        def do_GET(self) -> None:
            text = generate_latest(metrics.registry)
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            is_cut_off = next(self.asked) == 0
            self.wfile.write(text[: len(text) // 2] if is_cut_off else text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def wait_for(judged: Judged, verdicts: int) -> list[float]:
    deadline_s, pause = time.monotonic() + 10, threading.Event()
    while time.monotonic() < deadline_s and len(judged.arrivals_s("camera-1")) < verdicts:
        pause.wait(0.01)
    return judged.arrivals_s("camera-1")


def test_each_picture_is_one_verdict_however_often_and_badly_the_daemon_answers(
    metrics: Metrics, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.watching.ASK_EVERY_S", 0.01)
    judged = Judged()
    began_s = time.monotonic()
    with judged.asking(port):
        for number in (1, 2, 3):
            metrics.last_frame_at.labels("camera-1").set(1_700_000_000.25 + number)
            assert len(wait_for(judged, number)) == number
    first, second, third = judged.arrivals_s("camera-1")
    assert began_s < first < second < third < time.monotonic()
    assert judged.cameras() == 1
    assert "lsm_camera_last_frame_timestamp_seconds" in judged.metrics


def test_what_the_daemon_counted_is_summed_over_the_cameras(metrics: Metrics) -> None:
    for camera in ("a", "b"):
        metrics.frames.labels(camera, "inferred").inc(3)
        metrics.reconnects.labels(camera, "TIMEOUT").inc()
    found = stages(generate_latest(metrics.registry).decode())
    assert found == {"inferred": 6, "TIMEOUT": 2}
