"""What one 1080p25 camera costs to capture, by how it is decoded; and how long opening takes.

    python -m benchmarks.bench_capture [--seconds 30]

A server in a process of its own sends a noisy 1080p25 stream (GOP 2 s, about 4 Mbit/s) over
loopback. CPU is this process's (its processor time, so that others on the machine do not
count), so the server is not counted. The first rows take the cost apart: what the kernel needs
to hand over the bytes, what FFmpeg needs to find the packets in them, and what is ours. All
figures come from one run, one after the other: quote the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import av
import numpy as np

from lsm_monitor.capture.gulps import REST_S, WAITED_S
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.pyav_open import open_container
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.clip import encode_clip
from lsm_monitor.demo.rtsp_server import RtspServer
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId
from tests.rtsp_client import Client

FPS, GOP_S, SECONDS = 25, 2.0, 6


def pictures() -> Iterator[np.ndarray]:
    """Yield a panning, noisy 1080p picture."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(40, 200, (68, 160, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    for i in range(FPS * SECONDS):
        image = wide[:1080, 2 * i : 2 * i + 1920].astype(np.int16)
        yield np.clip(image + rng.integers(-6, 7, image.shape), 0, 255).astype(np.uint8)


def serve() -> None:
    """Run the server until stdin closes; print its address first."""
    with RtspServer(encode_clip(pictures(), fps=FPS, gop_s=GOP_S)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def cpu_s() -> float:
    """Return the CPU time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def capture(spec: SourceSpec, seconds: float) -> tuple[float, int]:
    """Return share of a core and pictures kept while capturing for ``seconds``."""
    stop, kept = threading.Event(), 0
    timer = threading.Timer(seconds, stop.set)
    source = open_source(spec, metrics=Metrics(), clock=SystemClock())
    with contextlib.closing(source):
        started_s, started_cpu_s = time.monotonic(), cpu_s()
        timer.start()
        for _ in source.pictures(stop):
            kept += 1
        share = (cpu_s() - started_cpu_s) / (time.monotonic() - started_s)
    return share, kept


def receive(url: str, seconds: float) -> float:
    """Return the share of a core that it takes to receive the bytes and look at none."""
    with Client(url) as client:
        client.ask("PLAY", client.set_up())
        buffer = bytearray(1 << 20)
        started_s, started_cpu_s = time.monotonic(), cpu_s()
        rest = threading.Event()
        while time.monotonic() - started_s < seconds:
            client.socket.recv_into(buffer)
            rest.wait(REST_S)
        return (cpu_s() - started_cpu_s) / (time.monotonic() - started_s)


def demux(spec: SourceSpec, seconds: float, *, rests: bool) -> float:
    """Return the share of a core that it takes FFmpeg to find the packets."""
    rest = threading.Event()
    with contextlib.closing(open_container(spec, SystemClock())) as container:
        packets = container.demux(video=0)
        started_s, started_cpu_s = time.monotonic(), cpu_s()
        while (read_since_s := time.monotonic()) - started_s < seconds:
            next(packets)
            if rests and time.monotonic() - read_since_s >= WAITED_S:
                rest.wait(REST_S)
        return (cpu_s() - started_cpu_s) / (time.monotonic() - started_s)


def open_times(spec: SourceSpec) -> tuple[float, float]:
    """Return the time to the first packet with FFmpeg's defaults and with ours."""
    started_s = time.monotonic()
    with av.open(spec.url, options={"rtsp_transport": "tcp"}) as container:
        next(container.demux(video=0))
    defaults_s = time.monotonic() - started_s
    started_s = time.monotonic()
    source = open_source(spec, metrics=Metrics(), clock=SystemClock())
    with contextlib.closing(source):
        next(iter(source.pictures(threading.Event())))
    return defaults_s, time.monotonic() - started_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    command = [sys.executable, "-m", "benchmarks.bench_capture", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:  # noqa: S603
        assert server.stdout is not None  # noqa: S101
        url = server.stdout.readline().decode().strip()
        spec = SourceSpec(
            CameraId("bench"), url, None, None, "tcp", "keyframes", 10.0, 10.0, 10.0
        )
        unused = dataclasses.replace(spec, interval_s=3600.0)
        keys = dataclasses.replace(spec, interval_s=GOP_S)
        every = dataclasses.replace(spec, decode="all")
        each = dataclasses.replace(every, interval_s=1 / FPS)
        rows: list[tuple[str, Callable[[], tuple[float, int | str]]]] = [
            ("network: bytes received in gulps", lambda: (receive(url, seconds), "")),
            ("+ FFmpeg's packets, in gulps", lambda: (demux(spec, seconds, rests=True), "")),
            ("(the same, woken by each)", lambda: (demux(spec, seconds, rests=False), "")),
            ("+ our bookkeeping, none decoded", lambda: capture(unused, seconds)),
            ("+ one picture per 10 s (default)", lambda: capture(spec, seconds)),
            ("every key frame, one per 2 s", lambda: capture(keys, seconds)),
            ("all decoded, one picture per 10 s", lambda: capture(every, seconds)),
            ("all decoded, every picture to RGB", lambda: capture(each, seconds)),
        ]
        print("| how | % of one core | pictures |\n|---|---|---|")
        for name, measure in rows:
            share, kept = measure()
            print(f"| {name} | {100 * share:.2f} | {kept} |", flush=True)
        defaults_s, ours_s = open_times(spec)
        print(f"\nfirst picture: FFmpeg's defaults {defaults_s:.2f} s, ours {ours_s:.2f} s")
        assert server.stdin is not None  # noqa: S101
        server.stdin.close()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
