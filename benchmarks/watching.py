"""Watching a process that watches cameras, from outside; used by ``bench_hundred_cameras.py``.

When verdicts arrive, what /proc says about CPU and memory, and how much video waits unread in
the sockets. The same for every contender.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import numpy as np

BYTES_PER_S = 500_000
"""What one camera sends."""
START_LIMIT_S = 600.0  # with the choice of a backend, once per machine
ASK_EVERY_S = 1.0
_LAST_FRAME_NAME = "lsm_camera_last_frame_timestamp_seconds"
_LAST_FRAME = re.compile(rf'^{_LAST_FRAME_NAME}\{{camera="([^"]+)"\}} (\S+)$', re.MULTILINE)
_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process:
    """A child, and the CPU time and memory of it and its own children.

    A context manager that ends it.

    Args:
        command: What it runs.
        cores: Where it may run.
        log: Gets its stderr; ``None`` leaves it on ours.
    """

    def __init__(self, command: list[str], cores: set[int], *, log: Path | None = None) -> None:
        self._log = None if log is None else log.open("w", encoding="utf-8")
        self.child: subprocess.Popen[str] = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        os.sched_setaffinity(self.child.pid, cores)

    def __enter__(self) -> Self:
        """Return the process, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, and make sure."""
        self.child.terminate()
        try:
            self.child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.child.communicate()
        if self._log is not None:
            self._log.close()

    def ask(self, line: str = "") -> str:
        """Write a line to its stdin and return the next one of its stdout."""
        assert self.child.stdin is not None  # noqa: S101 - a pipe
        self.child.stdin.write(f"{line}\n")
        self.child.stdin.flush()
        return self.read_line()

    def read_line(self) -> str:
        """Return the next line of its stdout; empty when it has ended."""
        assert self.child.stdout is not None  # noqa: S101 - a pipe
        return self.child.stdout.readline().strip()

    def cpu_s(self) -> float:
        """Return the CPU time so far, that of children that have ended included."""
        ticks = 0
        for process in self._tree():
            fields = _read(process / "stat").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / _CLOCK_TICKS_PER_S

    def memory_mb(self) -> float:
        """Return the memory in use; what several share counts once."""
        return self._sum("smaps_rollup", "Pss") / 1024

    def threads(self) -> int:
        """Return the number of threads."""
        return self._sum("status", "Threads")

    def descriptors(self) -> int:
        """Return the number of open files."""
        return sum(len(os.listdir(process / "fd")) for process in self._tree())  # noqa: PTH208 - counted only

    def _tree(self) -> list[Path]:
        """Return the folders in /proc of the child and of all that it has started."""
        tree = [Path(f"/proc/{self.child.pid}")]
        for process in tree:  # it grows while it is walked
            for task in (process / "task").iterdir():
                tree += [Path(f"/proc/{pid}") for pid in _read(task / "children").split()]
        return tree

    def _sum(self, file: str, name: str) -> int:
        lines = [line for each in self._tree() for line in _read(each / file).splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _get(port: int, name: str = "") -> str:
    """Return the daemon's metrics, or that of one name: all of them cost it some per cent."""
    query = urlencode({"name[]": name}) if name else ""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", f"/metrics?{query}")
        return connection.getresponse().read().decode()


def _read(path: Path) -> str:
    """Return the text of a file in /proc; empty when its process has just ended."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


class Judged:
    """When each camera's pictures were judged, and how old they were then. Thread-safe.

    Attributes:
        metrics: The daemon's own metrics, as it gave them at the end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived_at_s: dict[str, dict[float, float]] = defaultdict(dict)
        self.metrics = ""

    def add(self, camera: str, taken_at_s: float) -> None:
        """Note a verdict on the picture of ``taken_at_s``, Unix time; repeats are ignored."""
        with self._lock:
            self._arrived_at_s[camera].setdefault(taken_at_s, time.time())

    @contextlib.contextmanager
    def asking(self, port: int) -> Iterator[None]:
        """Ask the daemon on ``port`` every second which picture of each camera it judged last.

        MQTT would not do: a state that stays the same is told with the next heartbeat.
        """
        over = threading.Event()

        def ask() -> None:
            while not over.wait(ASK_EVERY_S):
                # Not there yet, not any more, or too busy to end its answer.
                with contextlib.suppress(OSError, http.client.HTTPException):
                    for camera, taken_at_s in _LAST_FRAME.findall(_get(port, _LAST_FRAME_NAME)):
                        self.add(camera, float(taken_at_s))

        asker = threading.Thread(target=ask, name="asker")
        asker.start()
        try:
            yield
        finally:
            over.set()
            asker.join()
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.metrics = _get(port)

    def arrivals_s(self, camera: str) -> list[float]:
        """Return when the camera's verdicts arrived, on CLOCK_MONOTONIC, sorted."""
        ahead_s = time.time() - time.monotonic()
        with self._lock:
            return sorted(at - ahead_s for at in self._arrived_at_s.get(camera, {}).values())

    def cameras(self) -> int:
        """Return how many cameras were judged at least once."""
        with self._lock:
            return len(self._arrived_at_s)

    def gaps_s(self, start_s: float, end_s: float) -> list[list[float]]:
        """Return the times between verdicts of each camera; the last one was cut off."""
        gaps = []
        with self._lock:
            for arrived_at_s in map(dict.values, self._arrived_at_s.values()):
                before = max((at for at in arrived_at_s if at < start_s), default=start_s)
                inside = sorted(at for at in arrived_at_s if start_s <= at <= end_s)
                gaps.append([float(gap) for gap in np.diff([before, *inside, end_s])])
        return gaps

    def ages_s(self, start_s: float, end_s: float) -> list[float]:
        """Return how old the pictures were when their verdicts arrived."""
        with self._lock:
            return [
                at - taken_at_s
                for verdicts in self._arrived_at_s.values()
                for taken_at_s, at in verdicts.items()
                if start_s <= at <= end_s
            ]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def wait_until_judged(judged: Judged, cameras: int, watched: Process) -> float:
    """Wait until so many cameras were judged once; return the most memory until then, in MB."""
    memory_mb = 0.0
    deadline_s, pause = time.monotonic() + START_LIMIT_S, threading.Event()
    while judged.cameras() < cameras and time.monotonic() < deadline_s:
        if watched.child.poll() is not None:
            msg = f"{watched.child.args!r} ended with {watched.child.returncode}"
            raise SystemExit(msg)
        pause.wait(0.5)
        memory_mb = max(memory_mb, watched.memory_mb())
    return memory_mb


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle, 99th percentile and maximum of a time, in seconds."""

    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_s: list[float]) -> Spread:
        """Return the spread of ``values_s``; not a number without any."""
        if not values_s:
            return cls(float("nan"), float("nan"), float("nan"))
        p50, p99, largest = np.quantile(values_s, (0.5, 0.99, 1.0))
        return cls(float(p50), float(p99), float(largest))


@dataclass(frozen=True, slots=True)
class Result:
    """What one run showed.

    Attributes:
        who: The contender.
        cameras: How many it watched.
        watched_s: For how long, after the first verdict on every camera.
        start_s: From its start to then.
        judged: Pictures.
        expected: Pictures, one per interval.
        gap_s: Time between two verdicts on a camera; the cut-off last ones count for ``max``.
        age_s: From decoding to the verdict's arrival.
        late_cameras: Cameras with more than two intervals between verdicts.
        unread_max_s: Most video that waited in the sockets of one camera.
        dropped: Pictures that cameras dropped because nobody read them.
        cores: CPU that it used, in cores.
        memory_peak_mb: Its memory, the most while it was watched.
        start_memory_peak_mb: The most before that: choosing a backend loads several.
        threads: Its threads.
        others_cores: What cameras and broker used.
    """

    who: str
    cameras: int
    watched_s: float
    start_s: float
    judged: int
    expected: int
    gap_s: Spread
    age_s: Spread
    late_cameras: int
    unread_max_s: float
    dropped: int
    cores: float
    memory_peak_mb: float
    start_memory_peak_mb: float
    threads: int
    others_cores: dict[str, float]

    def keeps_up(self, interval_s: float) -> bool:
        """Whether no camera was late by more than one interval."""
        behind = self.unread_max_s > interval_s or self.dropped > 0
        return not behind and self.late_cameras == 0


def unread_bytes(port: int) -> int:
    """Return the most video that waits in the sockets of one connection to ``port``.

    What the kernel of the sender still holds, and what the reader has not read yet.
    """
    waiting: dict[str, int] = defaultdict(int)
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, remote, queues = (line.split()[column] for column in (1, 2, 4))
        sent, received = (int(number, 16) for number in queues.split(":"))
        if int(local[-4:], 16) == port:
            waiting[remote] += sent
        elif int(remote[-4:], 16) == port:
            waiting[local] += received
    return max(waiting.values(), default=0)
