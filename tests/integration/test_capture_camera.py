"""One camera's thread against a real camera: it reconnects, reports, and can be stopped."""

from __future__ import annotations

import dataclasses
import logging
import os
import queue
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from lsm_monitor.capture.camera import CameraCapture
from lsm_monitor.capture.quality import QualityRules
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.demo.rtsp_wire import Login
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraHealth, CameraId, Frame, FrameStamp, HealthCode, HealthState
from tests import rtsp_faults
from tests.rtsp_faults import FaultyCamera

PASSWORD = "s3cret/w:o?rd"
TIMEOUT_S = 15.0


def encoded(brightness: int) -> Clip:
    pattern = np.random.default_rng(0).integers(0, 2, (96, 128, 3)) * brightness
    coarse = cv2.resize(pattern[::8, ::8].astype(np.uint8), (128, 96))
    return encode_clip([np.roll(coarse, 4 * i, axis=1) for i in range(20)], fps=10, gop_s=0.2)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return encoded(brightness=200)


class Watched:
    """A camera's capture, and everything it told."""

    def __init__(self, spec: SourceSpec, backoff_max_s: float = 0.05) -> None:
        self.metrics = Metrics()
        self.stop = threading.Event()
        self.health: queue.SimpleQueue[CameraHealth] = queue.SimpleQueue()
        self.unusable: queue.SimpleQueue[tuple[FrameStamp, tuple[HealthCode, ...]]] = (
            queue.SimpleQueue()
        )
        self.frames: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self.capture = CameraCapture(
            spec=spec,
            backoff_max_s=backoff_max_s,
            rules=QualityRules(),
            metrics=self.metrics,
            clock=SystemClock(),
            on_frame=self.frames.put,
            on_health=self.health.put,
            on_unusable=lambda stamp, codes: self.unusable.put((stamp, codes)),
        )
        self.thread = threading.Thread(target=self.capture.run, args=(self.stop,))

    @contextmanager
    def running(self) -> Iterator[Watched]:
        self.thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            self.thread.join(TIMEOUT_S)
            assert not self.thread.is_alive()

    def next_frame(self) -> Frame:
        return self.frames.get(timeout=TIMEOUT_S)

    def wait_for(self, state: HealthState) -> CameraHealth:
        while (health := self.health.get(timeout=TIMEOUT_S)).state is not state:
            pass
        return health

    def count(self, name: str) -> float:
        return self.metrics.snapshot().get(name, 0.0)


def spec_of(url: str) -> SourceSpec:
    return SourceSpec(
        camera_id=CameraId("bridge"),
        url=url,
        username="admin",
        password=SecretStr(PASSWORD),
        transport="tcp",
        decode="keyframes",
        interval_s=0.2,
        open_timeout_s=1.0,
        read_timeout_s=1.0,
    )


def test_frames_carry_who_and_when(clip: Clip) -> None:
    clock = SystemClock()
    before_s, before = clock.monotonic_s(), clock.now()
    with FaultyCamera(clip) as camera, Watched(spec_of(camera.url)).running() as watched:
        first, second = watched.next_frame(), watched.next_frame()
        assert watched.wait_for(HealthState.STARTING).codes == ()
        assert watched.wait_for(HealthState.USABLE).reconnects == 0
    assert first.stamp.camera_id == "bridge"
    assert (first.stamp.stream_epoch, first.stamp.sequence) == (0, 0)
    assert (second.stamp.stream_epoch, second.stamp.sequence) == (0, 2)
    assert before_s < first.stamp.decoded_mono_s < second.stamp.decoded_mono_s
    assert before < first.stamp.decoded_at < second.stamp.decoded_at
    assert first.image.shape == (96, 128, 3)


def test_a_camera_that_hangs_up_is_opened_again_and_nobody_is_troubled(clip: Clip) -> None:
    behaviours = [
        rtsp_faults.hang_up_after(1),
        rtsp_faults.hang_up_after(1),
        rtsp_faults.healthy,
    ]
    with FaultyCamera(clip, behaviours) as camera:
        with Watched(spec_of(camera.url)).running() as watched:
            frames = [watched.next_frame() for _ in range(3)]
        assert [frame.stamp.stream_epoch for frame in frames] == [0, 1, 2]
        assert [frame.stamp.sequence for frame in frames] == [0, 0, 0]
    states = [watched.health.get_nowait().state for _ in range(watched.health.qsize())]
    assert states == [HealthState.STARTING, HealthState.USABLE]
    assert watched.count('lsm_camera_reconnects_total{camera="bridge",reason="ENDED"}') == 2


def test_a_camera_without_power_is_told_offline_and_comes_back(clip: Clip) -> None:
    camera = FaultyCamera(clip)
    camera.start()
    with Watched(spec_of(camera.url)).running() as watched:
        watched.wait_for(HealthState.USABLE)
        camera.stop()
        offline = watched.wait_for(HealthState.OFFLINE)
        assert offline.codes == (HealthCode.CONNECTION_REFUSED,)
        assert "check that the camera is powered" in offline.detail
        camera.start()
        assert watched.wait_for(HealthState.USABLE).reconnects >= 2
    camera.stop()


def test_a_camera_that_stalls_is_told_and_opened_again(clip: Clip) -> None:
    behaviours = [rtsp_faults.stall_after(3), rtsp_faults.healthy]
    with (
        FaultyCamera(clip, behaviours) as camera,
        Watched(spec_of(camera.url)).running() as watched,
    ):
        assert watched.wait_for(HealthState.OFFLINE).codes == (HealthCode.STALLED,)
        watched.wait_for(HealthState.USABLE)
    assert watched.count('lsm_camera_reconnects_total{camera="bridge",reason="STALLED"}') == 1


def test_a_wrong_password_is_told_and_kept_out_of_reports_and_logs(
    clip: Clip, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        FaultyCamera(clip, login=Login("admin", "another")) as camera,
        Watched(spec_of(camera.url)).running() as watched,
    ):
        offline = watched.wait_for(HealthState.OFFLINE)
    assert offline.codes == (HealthCode.UNAUTHORIZED,)
    assert "'cameras.bridge.password'" in offline.detail
    assert "s3cret" not in offline.detail
    assert "s3cret" not in caplog.text
    assert "access denied" in caplog.text


def test_a_stop_interrupts_the_wait_for_the_next_attempt(clip: Clip) -> None:
    camera = FaultyCamera(clip)
    camera.start()
    camera.stop()
    watched = Watched(spec_of(camera.url), backoff_max_s=3600.0)
    # Waits of 0.5 s and more begin at once; joining proves that the stop cut one short.
    with watched.running():
        watched.wait_for(HealthState.OFFLINE)
        started_s = SystemClock().monotonic_s()
        watched.stop.set()
        watched.thread.join(TIMEOUT_S)
    assert SystemClock().monotonic_s() - started_s < 0.4


def test_pictures_that_show_nothing_are_told_and_are_never_handed_out() -> None:
    with (
        FaultyCamera(encoded(brightness=8)) as camera,
        Watched(spec_of(camera.url)).running() as watched,
    ):
        unusable = watched.wait_for(HealthState.UNUSABLE)
        stamp, codes = watched.unusable.get(timeout=TIMEOUT_S)
    assert unusable.codes == codes == (HealthCode.DARK,)
    assert stamp.sequence == 0
    assert watched.frames.empty()
    assert watched.count('lsm_camera_frames_total{camera="bridge",stage="unusable"}') >= 3


def test_a_picture_that_was_taken_is_not_held_until_the_next_one(clip: Clip) -> None:
    spec = dataclasses.replace(spec_of("rtsp://"), interval_s=3600.0)
    with FaultyCamera(clip) as camera:
        watched = Watched(dataclasses.replace(spec, url=camera.url))
        with watched.running():
            is_freed = threading.Event()
            weakref.finalize(watched.next_frame().image, is_freed.set)
            assert is_freed.wait(TIMEOUT_S)


def test_a_dead_camera_does_not_slow_another_one(clip: Clip) -> None:
    with (
        FaultyCamera(clip, [rtsp_faults.silent()]) as dead,
        FaultyCamera(clip) as alive,
        Watched(spec_of(dead.url)).running(),
        Watched(spec_of(alive.url)).running() as good,
    ):
        frames = [good.next_frame() for _ in range(5)]
    lasted_s = frames[-1].stamp.decoded_mono_s - frames[0].stamp.decoded_mono_s
    assert lasted_s == pytest.approx(0.8, abs=0.4)


def test_a_file_ends_for_good(tmp_path: Path, clip: Clip) -> None:
    path = tmp_path / "missing.mp4"
    watched = Watched(spec_of(str(path)))
    with watched.running():
        assert watched.wait_for(HealthState.OFFLINE).codes == (HealthCode.NOT_FOUND,)
        # The file appears: a short H.264 stream, as recorders write it.
        start_code = b"\x00\x00\x00\x01"
        units = [start_code + nal for unit in clip.access_units[:4] for nal in unit.nal_units]
        partial = tmp_path / "partial"
        partial.write_bytes(b"".join(units))
        partial.rename(path)
        ended = watched.wait_for(HealthState.OFFLINE)
        while ended.codes != (HealthCode.ENDED,):
            ended = watched.wait_for(HealthState.OFFLINE)
        watched.thread.join(TIMEOUT_S)
        assert not watched.thread.is_alive()
        assert not watched.stop.is_set()
    assert "is over" in ended.detail


def test_a_folder_of_snapshots_is_a_camera(tmp_path: Path) -> None:
    with Watched(spec_of(str(tmp_path))).running() as watched:
        image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "a.png"), image)
        frame = watched.next_frame()
    np.testing.assert_array_equal(frame.image, image[..., ::-1])


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_reconnecting_does_not_cost_memory(clip: Clip) -> None:
    spec = dataclasses.replace(spec_of(""), interval_s=0.01)
    with FaultyCamera(clip, [rtsp_faults.hang_up_after(1)]) as camera:
        watched = Watched(dataclasses.replace(spec, url=camera.url), backoff_max_s=0.001)
        with watched.running():
            camera.wait_for_connections(20, timeout_s=60.0)
            before_mib = resident_mib()
            camera.wait_for_connections(80, timeout_s=60.0)
            grown_mib = resident_mib() - before_mib
    # Without closing the container this was 5.8 MB per reconnect.
    assert grown_mib < 30.0
