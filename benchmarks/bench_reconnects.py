"""A thousand reconnects of one camera: memory, files and threads before, on the way, after.

    python -m benchmarks.bench_reconnects [--times 1000]

The camera (a process of its own) sends some pictures and hangs up, or refuses. The same objects
as in the daemon open it, read it and close it. Memory is the resident set from /proc; growth
counts from a tenth of the way, when everything has been used once.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.errors import SourceError
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, HealthCode
from tests.rtsp_faults import FaultyCamera, answer_with, hang_up_after
from tests.rtsp_stream_faults import small_clip

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def serve(times: int) -> None:
    """Run the camera until stdin closes; print its address first."""
    ways = [hang_up_after(3), hang_up_after(12), answer_with(404), answer_with(401)]
    with FaultyCamera(small_clip(1920, 1080), ways * times, pace=20.0) as camera:
        print(camera.url, flush=True)
        sys.stdin.read()


def resident_mb() -> float:
    """Return this process's memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_BYTES / 1e6


def connect(spec: SourceSpec, metrics: Metrics) -> HealthCode:
    """Open the camera, read it until it fails, and return why."""
    try:
        source = open_source(spec, metrics=metrics, clock=SystemClock())
        with contextlib.closing(source):
            for _ in source.pictures(threading.Event()):
                pass
    except SourceError as exc:
        return exc.code
    return HealthCode.INTERNAL


def main() -> None:
    """Print a row per tenth of the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    command = [sys.executable, "-m", "benchmarks.bench_reconnects", "serve", str(times)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:  # noqa: S603
        assert server.stdout is not None  # noqa: S101
        url = server.stdout.readline().decode().strip()
        spec = SourceSpec(CameraId("bench"), url, "u", None, "tcp", "keyframes", 0.01, 5.0, 5.0)
        metrics = Metrics()
        codes: collections.Counter[str] = collections.Counter()
        started_s = time.monotonic()
        print("| reconnects | MB | files | threads |\n|---|---|---|---|")
        for number in range(1, times + 1):
            codes[connect(spec, metrics)] += 1
            if number % max(1, times // 10) == 0:
                files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
                threads = threading.active_count()
                print(f"| {number} | {resident_mb():.1f} | {files} | {threads} |", flush=True)
        took_s = time.monotonic() - started_s
        ends = ", ".join(f"{count} {code}" for code, count in codes.items())
        print(f"\n{took_s / times * 1000:.0f} ms each; {ends}")
        assert server.stdin is not None  # noqa: S101
        server.stdin.close()


if __name__ == "__main__":
    serve(int(sys.argv[2])) if sys.argv[1:2] == ["serve"] else main()
