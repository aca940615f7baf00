"""A machine that has no process left for more cameras: who has one goes on, the others wait."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lsm_monitor.capture import fleet, worker_link
from lsm_monitor.demo.clip import Clip, encode_clip
from lsm_monitor.types import CameraHealth, HealthCode, HealthState
from tests.integration.told_fleet import Told, camera
from tests.rtsp_faults import FaultyCamera

pytestmark = [pytest.mark.slow]

NOT_STARTED = 'lsm_capture_process_ends_total{reason="not_started"}'


@pytest.fixture(scope="module")
def clip() -> Clip:
    pattern = np.random.default_rng(0).integers(0, 2, (12, 16, 3)) * 200
    image = pattern.astype(np.uint8).repeat(8, 0).repeat(8, 1)
    return encode_clip([np.roll(image, 4 * i, axis=1) for i in range(20)], fps=10, gop_s=0.2)


class Machine:
    """Refuses processes while ``error`` is set."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.refused = threading.Semaphore(0)

    def popen(self, command: list[str], **options: object) -> subprocess.Popen[bytes]:
        if self.error is not None:
            self.refused.release()
            raise OSError(self.error, os.strerror(self.error))
        return subprocess.Popen(command, **options)  # type: ignore[call-overload, no-any-return] # noqa: S603 - handed through


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    patched = SimpleNamespace(DEVNULL=subprocess.DEVNULL, Popen=found.popen)
    monkeypatch.setattr(worker_link, "subprocess", patched)
    return found


def is_internal(health: CameraHealth) -> bool:
    return health.state is HealthState.OFFLINE and health.codes == (HealthCode.INTERNAL,)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM, errno.EAGAIN])
def test_a_camera_waits_for_its_process_and_the_others_go_on(
    clip: Clip, machine: Machine, error: int
) -> None:
    with FaultyCamera(clip) as street, Told(cameras_per_process=1).running() as told:
        told.fleet.put(camera("bridge", street.url))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        files = len(list(Path("/proc/self/fd").iterdir()))
        machine.error = error
        told.fleet.put(camera("quay", street.url))
        waiting = told.wait_for("quay", is_internal)
        assert "the log says why" in waiting.detail
        machine.refused.acquire()
        machine.refused.acquire()  # it is tried again
        assert told.fresh_frame("bridge").stamp.stream_epoch == epoch
        assert (
            len(list(Path("/proc/self/fd").iterdir())) <= files + 1  # a camera's own
        )
        machine.error = None
        told.next_frame("quay")
        told.wait_for("quay", lambda health: health.state is HealthState.USABLE)
        assert told.count(NOT_STARTED) >= 2
        assert len(told.pids()) == 2


def test_cameras_of_a_process_that_died_share_the_next_one_that_can_be_had(
    clip: Clip, machine: Machine
) -> None:
    with FaultyCamera(clip) as street, Told().running() as told:
        names = [f"camera-{n}" for n in range(3)]
        for name in names:
            told.fleet.put(camera(name, street.url))
        for name in names:
            told.wait_for(name, lambda health: health.state is HealthState.USABLE)
        machine.error = errno.ENOMEM
        os.kill(told.pids()[0], signal.SIGKILL)
        for name in names:
            told.wait_for(name, is_internal)
        machine.error = None
        for name in names:
            told.wait_for(name, lambda health: health.state is HealthState.USABLE)
        assert len(told.pids()) == 1


def test_beside_a_camera_that_hangs_the_others_stay_until_there_is_a_process_for_them(
    tmp_path: Path, clip: Clip, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_HUNG_MARGIN_S", 1.0)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with FaultyCamera(clip) as street, Told().running() as told:
        told.fleet.put(camera("bridge", street.url))
        told.fleet.put(camera("stuck", str(pipe)))
        epoch = told.next_frame("bridge").stamp.stream_epoch
        (pid,) = told.pids()
        machine.error = errno.EAGAIN
        told.wait_for("stuck", lambda health: health.codes == (HealthCode.HUNG,))
        machine.refused.acquire()
        machine.refused.acquire()
        assert told.fresh_frame("bridge").stamp.stream_epoch == epoch
        machine.error = None
        while told.next_frame("bridge").stamp.stream_epoch == epoch:
            pass
        while pid in told.pids():
            told.next_frame("bridge")
        assert told.count('lsm_capture_process_ends_total{reason="hung"}') >= 1
