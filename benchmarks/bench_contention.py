"""How long a frame takes while a neighbour keeps the cores busy, by OpenMP's way of waiting.

    python benchmarks/bench_contention.py

Runs itself four times: alone and beside a busy torch process, with OpenMP's default (spinning)
and with OMP_WAIT_POLICY=passive, which ``lsm-monitor`` sets for itself.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime

FRAMES = 8


def measure() -> None:
    """Print the median time per frame in milliseconds."""
    import numpy as np  # noqa: PLC0415 - after the environment is set

    from lsm_monitor.inference.segmenter import Segmenter  # noqa: PLC0415
    from lsm_monitor.types import CameraId, Frame, FrameStamp  # noqa: PLC0415

    segmenter = Segmenter.open("compact", backend="torch", device="cpu", threads=0, max_batch=1)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    stamp = FrameStamp(CameraId("bench"), 0, 0, None, datetime.now(UTC), 0.0)
    segmenter.segment([Frame(stamp, image)])
    times_ms = []
    for _ in range(FRAMES):
        started_s = time.perf_counter()
        segmenter.segment([Frame(stamp, image)])
        times_ms.append(1000 * (time.perf_counter() - started_s))
    print(f"{statistics.median(times_ms):.0f}")


def disturb() -> None:
    """Keep every core busy with torch until killed."""
    import torch  # noqa: PLC0415

    layer = torch.nn.Conv2d(32, 32, 3, padding=1)
    picture = torch.randn(4, 32, 128, 128)
    with torch.inference_mode():
        while True:
            layer(picture)


def main() -> None:
    """Print the table."""
    print("| OMP_WAIT_POLICY | alone, ms per frame | beside a busy process | ratio |")
    print("|---|---|---|---|")
    for policy in ("active", "passive"):
        environ = {**os.environ, "OMP_WAIT_POLICY": policy}
        command = [sys.executable, __file__]
        alone = subprocess.check_output([*command, "measure"], env=environ, text=True)  # noqa: S603
        with subprocess.Popen([*command, "disturb"]) as neighbour:  # noqa: S603
            beside = subprocess.check_output([*command, "measure"], env=environ, text=True)  # noqa: S603
            neighbour.kill()
        ratio = float(beside) / float(alone)
        print(f"| {policy} | {alone.strip()} | {beside.strip()} | {ratio:.1f} |")


if __name__ == "__main__":
    {"measure": measure, "disturb": disturb}.get(sys.argv[1] if sys.argv[1:] else "", main)()
