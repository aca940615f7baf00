"""What the tests of capture processes share: a camera, and a fleet with all that it tells."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from lsm_monitor.capture.fleet import CaptureFleet
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.capture.watched import WatchedCamera
from lsm_monitor.clock import SystemClock
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime import capture_process
from lsm_monitor.runtime.camera_memories import CameraMemories
from lsm_monitor.types import CameraHealth, CameraId, Frame

TIMEOUT_S = 40.0
T = TypeVar("T")


def camera(
    name: str,
    url: str,
    interval_s: float = 0.2,
    read_timeout_s: float = 2.0,
    **changes: object,
) -> WatchedCamera:
    spec = SourceSpec(
        camera_id=CameraId(name),
        url=url,
        username="admin",
        password=SecretStr("s3cret"),
        transport="tcp",
        decode="keyframes",
        interval_s=interval_s,
        open_timeout_s=2.0,
        read_timeout_s=read_timeout_s,
    )
    watched = WatchedCamera(spec, backoff_max_s=0.2)
    return dataclasses.replace(watched, **changes)  # type: ignore[arg-type]


class Told:
    """A fleet that runs, and everything it told, by camera."""

    def __init__(
        self,
        *,
        cameras_per_process: int = 25,
        memories: CameraMemories | None = None,
        command: Sequence[str] = capture_process.COMMAND,
    ) -> None:
        self.metrics = Metrics()
        self.frames: dict[str, queue.SimpleQueue[Frame]] = {}
        self.health: dict[str, queue.SimpleQueue[CameraHealth]] = {}
        self._lock = threading.Lock()
        self.fleet = CaptureFleet(
            command=command,
            cameras_per_process=cameras_per_process,
            patrol_parallel=4,
            on_frame=lambda f: self._of(self.frames, f.stamp.camera_id).put(f),
            on_health=lambda h: self._of(self.health, h.camera_id).put(h),
            on_unusable=lambda _stamp, _codes: None,
            memories=memories or CameraMemories(Path(tempfile.mkdtemp())),
            metrics=self.metrics,
            clock=SystemClock(),
        )

    def _of(self, queues: dict[str, queue.SimpleQueue[T]], name: str) -> queue.SimpleQueue[T]:
        with self._lock:
            return queues.setdefault(name, queue.SimpleQueue())

    @contextmanager
    def running(self) -> Iterator[Told]:
        stop = threading.Event()
        thread = threading.Thread(target=self.fleet.run, args=(stop,))
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
            assert self.pids() == []

    def next_frame(self, name: str) -> Frame:
        return self._of(self.frames, name).get(timeout=TIMEOUT_S)

    def fresh_frame(self, name: str) -> Frame:
        """Return a frame that was taken after this call."""
        now_s = SystemClock().monotonic_s()
        while (frame := self.next_frame(name)).stamp.decoded_mono_s < now_s:
            pass
        return frame

    def wait_for(self, name: str, done: Callable[[CameraHealth], bool]) -> CameraHealth:
        while not done(health := self._of(self.health, name).get(timeout=TIMEOUT_S)):
            pass
        return health

    def pids(self) -> list[int]:
        """Return the processes that hold cameras."""
        found: set[int] = set()
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                found |= {int(pid) for pid in (task / "children").read_text().split()}
        return sorted(pid for pid in found if b"capture_process" in _command_line(pid))

    def count(self, name: str) -> float:
        return self.metrics.snapshot().get(name, 0.0)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
