"""Cameras in processes of their own: nothing that one of them does is felt by another."""

from __future__ import annotations

import json
import os
import queue
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsm_monitor.capture import custody, fleet, wire
from lsm_monitor.capture.quality import QualityCheck, QualityRules
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.runtime.camera_memories import CameraMemories
from lsm_monitor.types import CameraId, HealthCode, HealthState
from tests import rtsp_faults
from tests.integration.told_fleet import TIMEOUT_S, Told, camera
from tests.rtsp_faults import FaultyCamera

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def clip() -> Clip:
    pattern = np.random.default_rng(0).integers(0, 2, (96, 128, 3)) * 200
    coarse = cv2.resize(pattern[::8, ::8].astype(np.uint8), (128, 96))
    return encode_clip([np.roll(coarse, 4 * i, axis=1) for i in range(20)], fps=10, gop_s=0.2)


def test_frames_health_and_counts_come_out_of_the_process(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        first, second = told.next_frame("bridge"), told.next_frame("bridge")
        told.wait_for("bridge", lambda health: health.state is HealthState.USABLE)
        assert first.image.shape == (96, 128, 3)
        assert first.image.std() > 20
        assert first.stamp.decoded_mono_s < second.stamp.decoded_mono_s
        while not told.count('lsm_camera_frames_total{camera="bridge",stage="decoded"}'):
            told.next_frame("bridge")
        assert told.count('lsm_camera_up{camera="bridge"}') == 1
        assert len(told.pids()) == 1


def test_a_camera_that_is_removed_falls_silent_and_the_others_go_on(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.fleet.put(camera("station", street.url))
        told.next_frame("bridge")
        epoch = told.next_frame("station").stamp.stream_epoch
        told.fleet.remove(CameraId("bridge"))
        for _ in range(5):
            told.fresh_frame("station")
        while not told.frames["bridge"].empty():
            told.frames["bridge"].get()
        assert told.fresh_frame("station").stamp.stream_epoch == epoch
        assert told.frames["bridge"].empty()


def test_a_new_interval_needs_no_new_connection(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url, interval_s=3600.0))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        told.fleet.put(camera("bridge", street.url, interval_s=0.2))
        frames = [told.next_frame("bridge") for _ in range(3)]
        assert {frame.stamp.stream_epoch for frame in frames} == {epoch}
        assert street.connections == 1


def test_a_new_address_opens_a_new_connection(clip: Clip) -> None:
    with FaultyCamera(clip) as old, FaultyCamera(clip) as new, Told().running() as told:
        told.fleet.put(camera("bridge", old.url))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        told.fleet.put(camera("bridge", new.url))
        new.wait_for_connections(1, timeout_s=TIMEOUT_S)
        while told.next_frame("bridge").stamp.stream_epoch == epoch:
            pass


def test_a_process_that_dies_is_replaced_and_its_cameras_go_on(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.fleet.put(camera("station", street.url))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        told.next_frame("station")
        os.kill(told.pids()[0], signal.SIGKILL)
        while told.next_frame("bridge").stamp.stream_epoch == epoch:
            pass
        told.fresh_frame("station")
        assert told.count('lsm_capture_process_ends_total{reason="died"}') == 1


def test_a_process_that_stands_still_is_replaced(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custody, "_BEAT_PATIENCE_S", 3.0)
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        while not told.count('lsm_camera_frames_total{camera="bridge",stage="decoded"}'):
            told.next_frame("bridge")  # it has beaten
        (pid,) = told.pids()
        os.kill(pid, signal.SIGSTOP)
        while told.next_frame("bridge").stamp.stream_epoch == epoch:
            pass
        assert pid not in told.pids()
        assert told.count('lsm_capture_process_ends_total{reason="silent"}') == 1


def test_a_camera_that_hangs_in_native_code_costs_the_others_nothing(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_HUNG_MARGIN_S", 1.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(
        pipe
    )  # opening it blocks until somebody writes: nothing in the process can end it
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.fleet.put(camera("stuck", str(pipe)))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        hung = told.wait_for("stuck", lambda h: h.state is HealthState.OFFLINE)
        assert hung.codes == (HealthCode.HUNG,)
        last_s = told.fresh_frame("bridge").stamp.decoded_mono_s
        while (frame := told.next_frame("bridge")).stamp.stream_epoch == epoch:
            # From the old process, until the new one delivers.
            assert frame.stamp.decoded_mono_s - last_s < 2.0
            last_s = frame.stamp.decoded_mono_s
        assert frame.stamp.decoded_mono_s - last_s < 2.0
        # It hangs again, in a process of its own this time, and nobody notices.
        epoch = frame.stamp.stream_epoch
        told.wait_for("stuck", lambda h: h.reconnects > hung.reconnects)
        assert told.fresh_frame("bridge").stamp.stream_epoch == epoch


def test_a_camera_that_hung_before_it_was_removed_costs_the_others_nothing(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_HUNG_MARGIN_S", 1.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.fleet.put(camera("stuck", str(pipe)))
        told.wait_for("stuck", lambda h: h.state is HealthState.STARTING)
        told.fleet.remove(CameraId("stuck"))
        last = told.fresh_frame("bridge").stamp
        epoch, (pid,) = last.stream_epoch, told.pids()
        while last.stream_epoch == epoch:
            stamp = told.next_frame("bridge").stamp
            assert stamp.decoded_mono_s - last.decoded_mono_s < 2.0
            last = stamp
        while pid in told.pids():
            told.next_frame("bridge")
        assert told.count('lsm_capture_process_ends_total{reason="hung"}') == 1


def test_processes_log_as_they_are_told_those_that_come_later_too(
    clip: Clip, capfd: pytest.CaptureFixture[str]
) -> None:
    with FaultyCamera(clip) as street, Told(cameras_per_process=2).running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.wait_for("bridge", lambda health: health.state is HealthState.USABLE)
        told.fleet.log_as(wire.LogAs("info", "json"))
        for name in ("quay", "station"):  # the second one in another process
            told.fleet.put(camera(name, street.url))
            told.wait_for(name, lambda health: health.state is HealthState.USABLE)
        assert len(told.pids()) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if "usable" in line]
    assert [line[0] for line in lines] == ["t", "{", "{"]  # timestamp=..., and twice an object
    assert [json.loads(line)["event"] for line in lines[1:]] == [
        "camera 'quay': usable pictures",
        "camera 'station': usable pictures",
    ]


def test_cameras_are_spread_over_processes(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told(cameras_per_process=2).running() as told:
        for n in range(5):
            told.fleet.put(camera(f"camera-{n}", street.url))
        for n in range(5):
            told.next_frame(f"camera-{n}")
        assert len(told.pids()) == 3


def test_a_camera_on_patrol_is_connected_only_while_it_is_visited(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url, interval_s=1.0, on_patrol=True))
        frames = [told.next_frame("bridge") for _ in range(3)]
        assert street.connections in {3, 4}
    assert {frame.stamp.stream_epoch for frame in frames} == {0}
    assert [frame.stamp.sequence for frame in frames] == [0, 1, 2]


def test_a_patrol_that_finds_a_camera_dead_says_so_and_comes_back(clip: Clip) -> None:
    behaviours = [rtsp_faults.stall_after(0), rtsp_faults.healthy]
    with FaultyCamera(clip, behaviours) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url, interval_s=0.5, on_patrol=True))
        told.wait_for("bridge", lambda health: health.state is HealthState.OFFLINE)
        told.wait_for("bridge", lambda health: health.state is HealthState.USABLE)


def test_a_process_that_cannot_even_start_is_not_tried_without_a_pause() -> None:
    told = Told(command=("/bin/false",))
    with told.running():
        for n in range(8):
            told.fleet.put(camera(f"camera-{n}", "rtsp://192.0.2.1/1"))
        lost = told.wait_for("camera-0", lambda h: h.state is HealthState.OFFLINE)
        assert lost.codes == (HealthCode.INTERNAL,)
        for n in range(1, 8):
            told.wait_for(f"camera-{n}", lambda h: h.state is HealthState.OFFLINE)
        again = told.wait_for("camera-0", lambda h: h.reconnects == 3)
        assert (again.since - lost.since).total_seconds() > 1
        assert told.count('lsm_capture_process_ends_total{reason="died"}') < 60


def test_a_camera_that_comes_back_at_once_is_told_anew(clip: Clip) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.wait_for("bridge", lambda health: health.state is HealthState.USABLE)
        told.fleet.remove(CameraId("bridge"))
        told.fleet.put(camera("bridge", street.url))
        told.wait_for("bridge", lambda health: health.state is HealthState.STARTING)
        told.wait_for("bridge", lambda health: health.state is HealthState.USABLE)


def test_a_shorter_interval_does_not_hang_up_a_camera_that_was_rarely_looked_at(
    clip: Clip,
) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url, interval_s=3600.0, read_timeout_s=0.5))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        told.fleet.put(camera("quay", street.url))
        for _ in range(8):  # 1.6 s, three times the limit of the short interval
            told.next_frame("quay")
        told.fleet.put(camera("bridge", street.url, interval_s=0.1, read_timeout_s=0.5))
        frames = [told.next_frame("bridge") for _ in range(3)]
        assert {frame.stamp.stream_epoch for frame in frames} == {epoch}


def test_what_a_camera_has_learnt_is_kept_and_given_back(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    memories = CameraMemories(tmp_path)
    given: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    real_load = memories.load

    def load(camera_id: CameraId, aim: str) -> bytes | None:
        given.put(data := real_load(camera_id, aim))
        return data

    monkeypatch.setattr(memories, "load", load)
    with FaultyCamera(clip) as street, Told(memories=memories).running() as told:
        told.fleet.put(camera("bridge", street.url))
        assert given.get(timeout=TIMEOUT_S) is None
        told.next_frame("bridge")
        learnt = QualityCheck(QualityRules()).memory().to_bytes()
        memories.save(CameraId("bridge"), "", learnt)
        os.kill(told.pids()[0], signal.SIGKILL)
        assert given.get(timeout=TIMEOUT_S) == learnt
        told.fresh_frame("bridge")
        connections = street.connections
        told.fleet.put(camera("bridge", street.url, aim="zones drawn anew"))
        while (tmp_path / "views" / "bridge.view").exists():
            told.fresh_frame("bridge")
        assert street.connections == connections
        memories.save(CameraId("bridge"), "zones drawn anew", learnt)
        told.fleet.put(camera("bridge", street.url + "?other", aim="another camera"))
        assert given.get(timeout=TIMEOUT_S) is None


def test_every_process_ends_when_the_fleet_does_and_nothing_is_left_open(clip: Clip) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with FaultyCamera(clip) as street:
        told = Told(cameras_per_process=1)
        with told.running():
            for n in range(3):
                told.fleet.put(camera(f"camera-{n}", street.url))
            for n in range(3):
                told.next_frame(f"camera-{n}")
            assert len(told.pids()) == 3
        told.frames.clear()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1  # the selector stays
