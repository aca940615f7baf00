"""What evidence costs: the thread that decides, the one that writes, and the capture process.

    python -m benchmarks.bench_evidence [--seconds 20] [--rounds 3]

The camera is that of bench_capture: 1080p25, GOP 2 s, about 4 Mbit/s, over loopback, from a
server in a process of its own. It is captured in turns without and with a ring of packets; the
share of a core is this process's processor time. Quote the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import UUID

import numpy as np

from benchmarks.bench_capture import cpu_s
from lsm_monitor.capture.clip import clip_of
from lsm_monitor.capture.open_source import open_source
from lsm_monitor.capture.packet_ring import PacketRing, RingLimits
from lsm_monitor.capture.source import SourceSpec
from lsm_monitor.clock import SystemClock
from lsm_monitor.config.evidence import EvidenceConfig
from lsm_monitor.evidence.pictures import pictures_of
from lsm_monitor.evidence.sidecar import EvidenceKind
from lsm_monitor.evidence.store import EvidenceStore
from lsm_monitor.metrics import Metrics
from lsm_monitor.runtime.evidence_desk import EvidenceDesk
from lsm_monitor.runtime.main_stream import MainStreams
from lsm_monitor.types import CameraId, EventKind, Frame, FrameStamp, WaterMask
from tests.unit.publish.scenes import event_of, messages_of

RING = RingLimits(before_s=10.0, max_bytes=64 * 2**20)
EVENTS = 30


def captured(spec: SourceSpec, seconds: float, ring: PacketRing | None) -> float:
    """Return the share of a core that it takes to capture for ``seconds``."""
    stop = threading.Event()
    timer = threading.Timer(seconds, stop.set)
    source = open_source(spec, metrics=Metrics(), clock=SystemClock(), ring=ring)
    with contextlib.closing(source):
        started_s, started_cpu_s = time.monotonic(), cpu_s()
        timer.start()
        for _ in source.pictures(stop):
            pass
        return (cpu_s() - started_cpu_s) / (time.monotonic() - started_s)


def capture_rows(url: str, seconds: float, rounds: int) -> None:
    """Print what a ring costs, and a clip out of it."""
    spec = SourceSpec(CameraId("bench"), url, None, None, "tcp", "keyframes", 10.0, 10.0, 10.0)
    shares: dict[bool, list[float]] = {False: [], True: []}
    ring = PacketRing(RING)
    for _ in range(rounds):
        for has_ring in (False, True):
            shares[has_ring].append(captured(spec, seconds, ring if has_ring else None))
    without, with_ring = median(shares[False]), median(shares[True])
    recording = ring.record(float("-inf"), float("inf"))
    assert recording is not None  # noqa: S101
    assert recording.stream is not None  # noqa: S101
    held_s = recording.packets[-1].arrived_s - recording.packets[0].arrived_s
    print(f"| capture, no ring | {100 * without:.2f} % of a core |")
    print(
        f"| capture, ring of 10 s | {100 * with_ring:.2f} %, {with_ring / without:.2f} times |"
    )
    print(f"| the ring holds | {ring.size_bytes / 2**20:.2f} MiB, {held_s:.1f} s |")
    started_s = time.process_time()
    clip = clip_of(recording.stream, recording.packets)
    took_ms = 1000 * (time.process_time() - started_s)
    more = len(clip) / recording.size_bytes - 1
    print(f"| to cut all of it out | {took_ms:.0f} ms, {100 * more:.2f} % larger |")


def seen_of(width: int, height: int) -> tuple[Frame, WaterMask]:
    """Return a noisy picture, half of it water."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (height // 8, width // 8, 3))
    image = np.kron(coarse, np.ones((8, 8, 1))) + rng.integers(-6, 7, (height, width, 3))
    stamp = FrameStamp(CameraId("bench"), 0, 0, None, datetime.now(UTC), time.monotonic())
    probability = np.zeros((288, 512), np.float32)
    probability[144:] = 0.9
    frame = Frame(stamp, np.clip(image, 0, 255).astype(np.uint8))
    return frame, WaterMask(stamp, probability, 0.5, 1.0)


def picture_rows(name: str, width: int, height: int) -> None:
    """Print what one event costs the two threads."""
    seen = seen_of(width, height)
    with tempfile.TemporaryDirectory() as folder:
        store = EvidenceStore(Path(folder))
        store.open()
        drawn, written = [], []
        size_bytes = 0
        for seq in range(1, EVENTS + 1):
            started_s = time.process_time()
            pictures = pictures_of(
                seen[0].image, seen[1].probability >= seen[1].threshold, zones=[], blur="none"
            )
            drawn.append(time.process_time() - started_s)
            files = {
                EvidenceKind.SNAPSHOT: pictures.snapshot,
                EvidenceKind.RAW: pictures.raw,
                EvidenceKind.MASK: pictures.mask,
            }
            size_bytes = sum(map(len, files.values()))
            started_s = time.monotonic()
            store.put(UUID(int=1), seq, files, {"missing": []})
            written.append(time.monotonic() - started_s)
        noted = [_noted_s(store, seen, seq) for seq in range(1, EVENTS + 1)]
    print(
        f"| {name} | {1e6 * median(noted):.0f} | {1000 * median(drawn):.0f} | "
        f"{1000 * median(written):.0f} | {size_bytes / 1024:.0f} |"
    )


def _noted_s(store: EvidenceStore, seen: tuple[Frame, WaterMask], seq: int) -> float:
    """Return how long the deciding thread takes to leave a note of an event."""
    clock = SystemClock()
    desk = EvidenceDesk(
        store,
        config=EvidenceConfig(clip_mb=2),
        open_ids=[],
        on_snapshot=lambda _camera, _pictures: None,
        main_streams=MainStreams(clock),
        metrics=Metrics(),
        clock=clock,
    )
    event = event_of(EventKind.OPEN, seq=seq)
    payload = messages_of(event)[0].payload
    started_s = time.perf_counter()
    desk.promise(event, seen)
    desk.keep(event, seen, payload)
    return time.perf_counter() - started_s


def with_camera(measure: Callable[[str], None]) -> None:
    """Call ``measure`` with the address of a camera."""
    command = [sys.executable, "-m", "benchmarks.bench_capture", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:  # noqa: S603
        assert server.stdout is not None  # noqa: S101
        assert server.stdin is not None  # noqa: S101
        measure(server.stdout.readline().decode().strip())
        server.stdin.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(
        "| one event | to note it, us | to draw and code, ms (processor) | to store, ms | KiB |"
    )
    print("|---|---|---|---|---|")
    picture_rows("640 x 360", 640, 360)
    picture_rows("1920 x 1080", 1920, 1080)
    print("\n| one camera, 1080p25 | |\n|---|---|")
    with_camera(lambda url: capture_rows(url, given.seconds, given.rounds))


if __name__ == "__main__":
    main()
