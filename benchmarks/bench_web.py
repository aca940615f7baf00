"""What the page costs the daemon: pictures, cards, and pages that are told every change.

    python benchmarks/bench_web.py --cameras 200 --pages 60

Processor time of the daemon's side only; the pages are read by a process of their own. Nothing
is judged here: the pictures are of the rendered street, with a camera's noise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from lsm_monitor.clock import SystemClock
from lsm_monitor.demo.scene import StreetScene
from lsm_monitor.demo.scene_style import SceneStyle
from lsm_monitor.metrics import Metrics
from lsm_monitor.types import CameraId, Frame, FrameStamp, WaterLevel, WaterMask
from lsm_monitor.web.gallery import Gallery
from tests.web_daemon import SQUARE, WebDaemon

_CHANGES_PER_S = 20
_SECONDS = 15.0
_STREAMS = """
import asyncio, sys

async def read(port, counts):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /api/stream HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n")
    while part := await reader.read(1 << 20):
        counts.append(len(part))

async def main(port, pages):
    counts = []
    tasks = [asyncio.create_task(read(port, counts)) for _ in range(pages)]
    await asyncio.to_thread(sys.stdin.readline)
    print(sum(counts), flush=True)

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


def main() -> None:
    """Print one line per figure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--pages", type=int, default=60)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    measure_pictures()
    for pages in (0, args.pages):
        measure_pages(args.cameras, pages)


def measure_pictures() -> None:
    """Time what is done with one picture of 1080p."""
    gallery = Gallery(metrics=Metrics(), clock=SystemClock())
    noise = np.random.default_rng(0)
    scene = cv2.resize(StreetScene(SceneStyle()).render(0.5, 0.0)[0], (1920, 1080))
    image = np.clip(scene + noise.normal(0.0, 12.0, scene.shape), 0, 255).astype(np.uint8)
    water = cv2.GaussianBlur(noise.random((360, 640)).astype(np.float32), (0, 0), 25)
    stamp = FrameStamp(CameraId("a"), 1, 1, None, datetime.now(UTC), 0.0)
    probability = np.asarray(water, np.float32)
    mask = WaterMask(stamp, probability, float(np.median(probability)), 1.0)
    frame = Frame(stamp, image)

    def keep() -> None:
        gallery.looked()
        gallery.put(frame, mask)
        stop = threading.Event()
        gallery.on_new = stop.set
        gallery.run(stop)

    kept_ms = _cpu_ms(keep, 50)
    picture = gallery.newest(CameraId("a"))
    assert picture is not None  # noqa: S101 - just kept
    gallery.looked()
    handed_over_ms = _cpu_ms(lambda: gallery.put(frame, mask), 1000)
    print(f"hand over a picture    {1000 * handed_over_ms:.1f} us")
    print(f"shrink and encode it   {kept_ms:.1f} ms, {len(picture.jpeg)} bytes")
    count = iter(range(1000))

    def draw() -> None:
        gallery.jpeg(CameraId(str(next(count))), picture, "overlay")

    print(f"draw water into it     {_cpu_ms(draw, 30):.1f} ms")


def measure_pages(cameras: int, pages: int) -> None:
    """Print what the daemon's side uses while cameras change and pages are told."""
    one = {"url": "rtsp://192.0.2.1/s", "zones": {"lane": {"points": SQUARE}}}
    others = {f"camera-{number}": one for number in range(cameras - 1)}
    with tempfile.TemporaryDirectory() as folder, WebDaemon(Path(folder), cameras=others) as d:
        names, now = [CameraId(name) for name in d.config.cameras], datetime.now(UTC)
        readers = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", _STREAMS, str(d.port), str(pages)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        pause, waits_s, changes = threading.Event(), [], 0
        while d.metrics.snapshot()["lsm_http_streams"] < pages:
            pause.wait(0.1)
        began_s, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() - began_s < _SECONDS:
            at = now + timedelta(seconds=changes)
            fraction = 0.1 + changes % 1000 * 1e-4
            d.see(WaterLevel.PONDING, fraction, camera=names[changes % cameras], at=at)
            changes += 1
            pause.wait(1 / _CHANGES_PER_S)
            if changes % _CHANGES_PER_S == 0:
                asked_s = time.monotonic()
                d.get("/healthz")
                waits_s.append(time.monotonic() - asked_s)
        used, took_s = time.process_time() - cpu_s, time.monotonic() - began_s
        told, _ = readers.communicate(b"\n")
        print(
            f"{cameras} cameras, {pages} pages: {changes / took_s:.0f} changes/s, "
            f"{used / took_s:.1%} of a core, {int(told) / took_s / 1e6:.1f} MB/s, "
            f"/healthz within {1000 * max(waits_s):.0f} ms, all cameras as JSON "
            f"{len(d.get('/api/cameras').body) / 1000:.0f} kB"
        )


def _cpu_ms(action: Callable[[], object], times: int) -> float:
    began_s = time.process_time()
    for _ in range(times):
        action()
    return 1000 * (time.process_time() - began_s) / times


if __name__ == "__main__":
    main()
