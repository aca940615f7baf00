"""Opening many cameras at once, healthy and broken, over real RTSP on loopback."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lsm_monitor.capture.probe import ProbeReport
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.cli import app
from lsm_monitor.commands.camera_probe import CameraProbe, Look, look_at, probe_cameras
from lsm_monitor.config.models import CameraConfig
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.errors import SourceStalledError
from lsm_monitor.types import HealthCode
from tests.rtsp_faults import FaultyCamera, answer_with, healthy, silent

FPS = 10
WATCH_S = 1.6


def street(shift_px: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture with texture and colour that moves."""
    y, x = np.mgrid[0:96, 0:128]
    wave = 120 + 60 * np.sin((x + shift_px) / 5.0) + 40 * np.cos(y / 7.0)
    return np.stack([wave, wave * 0.8, 255 - wave], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Two seconds with a key frame every half second."""
    return encode_clip([street(3 * i) for i in range(20)], fps=FPS, gop_s=0.5)


@pytest.fixture
def good(clip: Clip) -> Iterator[FaultyCamera]:
    with FaultyCamera(clip, [healthy]) as camera:
        yield camera


def camera(url: str, **settings: float) -> CameraConfig:
    base = {"url": url, "open_timeout_s": 0.6, "read_timeout_s": 0.6, "interval_s": 1.0}
    return CameraConfig.model_validate(base | settings)


def probed(
    cameras: dict[str, CameraConfig], *, parallel: int = 8, look: Look = look_at
) -> dict[str, CameraProbe]:
    found = probe_cameras(cameras, parallel=parallel, watch_s=WATCH_S, look=look)
    assert [each.camera_id for each in found] == list(cameras)
    return {each.camera_id: each for each in found}


def test_what_cameras_send_stands_beside_why_others_do_not(
    clip: Clip, good: FaultyCamera
) -> None:
    with (
        FaultyCamera(clip, [silent()]) as mute,
        FaultyCamera(clip, [answer_with(401)]) as locked,
    ):
        found = probed(
            {
                "mute": camera(mute.url),
                "good": camera(good.url),
                "locked": camera(locked.url),
                "gone": camera("rtsp://127.0.0.1:1/x"),
            }
        )
    assert {name: each.state for name, each in found.items()} == {
        "mute": "failed",
        "good": "ok",
        "locked": "failed",
        "gone": "failed",
    }
    assert found["mute"].code is HealthCode.OPEN_TIMEOUT
    assert found["locked"].code is HealthCode.UNAUTHORIZED
    assert found["gone"].code is HealthCode.CONNECTION_REFUSED
    report = found["good"].report
    assert report is not None
    assert report.size_wh == (128, 96)
    assert report.facts.keyframe_interval_s == pytest.approx(0.5, abs=0.1)
    assert found["good"].cells()[:5] == ("good", "ok", "-", "h264", "128x96")


def test_key_frames_that_are_too_far_apart_are_a_warning_with_a_way_out(
    good: FaultyCamera,
) -> None:
    found = probed(
        {
            "fast": camera(good.url, interval_s=0.2),
            "slow": camera(good.url, interval_s=5.0),
        }
    )
    assert found["fast"].state == "warning"
    assert re.search(
        r"; warning: a key frame every 0\.\d+ s, and one is wanted every 0\.2 s; shorten the "
        r"camera's key-frame \(I-frame\) interval, or set decode: all$",
        found["fast"].line(),
    )
    assert found["slow"].state == "ok"


def test_a_camera_that_holds_its_thread_for_ever_stops_no_other(good: FaultyCamera) -> None:
    release = threading.Event()

    def look(spec: SourceSpec, watch_s: float) -> ProbeReport:
        if spec.camera_id != "stuck":
            return look_at(spec, watch_s)
        release.wait()
        raise SourceStalledError(spec.url, HealthCode.STALLED)

    times = {"open_timeout_s": 0.1, "read_timeout_s": 0.1}
    try:
        found = probed(
            {"stuck": camera(good.url, **times), "good": camera(good.url)},
            parallel=1,
            look=look,
        )
    finally:
        release.set()
    assert found["stuck"].code is HealthCode.OPEN_TIMEOUT
    assert "held us up for 6.8 s" in found["stuck"].detail
    assert found["good"].state == "ok"


def test_no_more_cameras_are_open_at_once_than_allowed() -> None:
    lock, meet = threading.Lock(), threading.Barrier(3)
    now = most = 0

    def look(spec: SourceSpec, _: float) -> ProbeReport:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        meet.wait(timeout=10.0)  # three do come at once
        with lock:
            now -= 1
        raise SourceStalledError(spec.url, HealthCode.STALLED)

    found = probed(
        {f"c{i}": camera("rtsp://127.0.0.1:1/x") for i in range(9)}, parallel=3, look=look
    )
    assert most == 3
    assert {each.code for each in found.values()} == {HealthCode.STALLED}


@pytest.fixture
def config(tmp_path: Path, good: FaultyCamera) -> Path:
    path = tmp_path / "monitor.yaml"
    path.write_text(
        "version: 1\nsite: west\nmqtt: {host: localhost}\n"
        "defaults: {open_timeout_s: 0.6, read_timeout_s: 0.6}\n"
        "cameras:\n"
        f"  good: {{url: '{good.url}'}}\n"
        "  gone: {url: 'rtsp://127.0.0.1:1/x', username: admin, password: hunter2}\n"
        "  off: {url: 'rtsp://127.0.0.1:1/y', enabled: false}\n"
    )
    return path


def test_cameras_are_tested_from_the_command_line(config: Path) -> None:
    run = CliRunner().invoke
    options = ["--config", str(config), "--seconds", "1"]
    one = run(app, ["cameras", "test", "good", *options])
    assert one.exit_code == 0
    assert one.stdout.startswith("good: h264 128x96, ")
    every = run(app, ["cameras", "test", "--all", "--json", *options])
    assert every.exit_code == 69
    rows = [json.loads(line) for line in every.stdout.splitlines()]
    assert [(row["camera"], row["state"], row["code"]) for row in rows] == [
        ("good", "ok", None),
        ("gone", "failed", "CONNECTION_REFUSED"),
    ]
    assert rows[0]["width_px"] == 128
    assert "hunter2" not in every.output


def test_check_probes_every_enabled_camera(config: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(config), "--probe", "--seconds", "1"])
    assert result.exit_code == 69
    lines = result.stdout.splitlines()
    assert "ok: 3 cameras" in lines[0]
    assert [line.partition(":")[0] for line in lines[-2:]] == ["good", "gone"]
    result = CliRunner().invoke(
        app, ["check", str(config), "--probe", "--json", "--seconds", "1"]
    )
    assert [json.loads(line)["camera"] for line in result.stdout.splitlines()] == [
        "good",
        "gone",
    ]
