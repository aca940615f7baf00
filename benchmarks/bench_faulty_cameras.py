"""A city in which many cameras are broken at any time: are the others judged in time?

    MALLOC_MMAP_THRESHOLD_=4194304 python -m benchmarks.bench_faulty_cameras [--cameras 200]
        [--faulty-share 0.3] [--interval 20] [--seconds 1200] [--json FILE]

``camera_farm.py`` breaks and mends its cameras by a plan: they hang, close, refuse, answer
401, are silent, send garbage, 0.2 pictures per second, 4K or as fast as they can. Judged is
only what was healthy: a camera counts from when it may have noticed that it is mended (the
longest wait between two attempts, and an interval) until it breaks again. The gaps between
its judged pictures must stay within its interval, up to a key-frame interval of 2 s and a
second. They go by when a picture was taken, and not by when its verdict arrived: one that
changes nothing is told with the next heartbeat, so arrivals lie multiples of that apart. And
heartbeats come faster than pictures do after a reconnect, or one verdict would hide another.

Memory is that of the daemon and its capture processes; its growth is the last quarter of the
run against the second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from benchmarks.bench_hundred_cameras import running_broker
from benchmarks.watching import Judged, Process, wait_until_judged
from lsm_monitor.demo.subscriber import Subscriber

BACKOFF_MAX_S = 10.0
KEY_FRAME_INTERVAL_S = 2.0
SAMPLE_EVERY_S = 5.0


class Span(TypedDict):
    """What a camera was like for a while; times on CLOCK_MONOTONIC."""

    start_s: float
    end_s: float
    fault: str | None


class Use(TypedDict):
    """What the daemon used at a moment."""

    at_s: float
    memory_mb: float
    threads: int
    descriptors: int


def watch(
    arguments: argparse.Namespace, urls: Sequence[str], farm: Process
) -> dict[str, object]:
    """Run the daemon on the farm's cameras; return the figures."""
    judged = Judged()
    cores = set(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="lsm-bench-") as folder,
        running_broker(cores) as (
            port,
            _,
        ),
    ):
        config = {
            "version": 1,
            "site": "bench",
            "state_dir": f"{folder}/state",
            "http": {"enabled": False},
            "mqtt": {"host": "127.0.0.1", "port": port, "heartbeat_s": arguments.interval / 4},
            "defaults": {
                "interval_s": arguments.interval,
                "fast_interval_s": arguments.interval,  # half of the streets are flooded
                "backoff_max_s": BACKOFF_MAX_S,
                "open_timeout_s": 5,
                "read_timeout_s": 5,
            },
            "cameras": {f"camera-{n}": {"url": url} for n, url in enumerate(urls)},
        }
        path = Path(folder) / "monitor.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        subscriber = Subscriber(
            host="127.0.0.1", port=port, prefix="lsm/v1/bench", on_message=judged.on_message
        )
        command = [sys.executable, "-m", "lsm_monitor", "run", "--config", str(path)]
        with subscriber, Process(command, cores, log=arguments.log) as daemon:
            wait_until_judged(judged, len(urls) // 2, daemon)
            started_s, cpu_s = time.monotonic(), daemon.cpu_s()
            uses = list(_uses(daemon, arguments.seconds))
            ended_s, cpu_s = time.monotonic(), daemon.cpu_s() - cpu_s
            spans: Sequence[Sequence[Span]] = json.loads(farm.ask("health"))
    gaps_s = [
        gap
        for number, each in enumerate(spans)
        for gap in healthy_gaps_s(
            judged.taken_s(f"camera-{number}"),
            each,
            window_s=(started_s, ended_s),
            grace_s=BACKOFF_MAX_S + arguments.interval + KEY_FRAME_INTERVAL_S,
        )
    ]
    return {
        "healthy_gaps": len(gaps_s),
        "gap_p50_s": float(np.quantile(gaps_s, 0.5)),
        "gap_p99_s": float(np.quantile(gaps_s, 0.99)),
        "gap_max_s": max(gaps_s),
        "within_interval_share": float(
            np.mean(np.array(gaps_s) <= arguments.interval + KEY_FRAME_INTERVAL_S + 1)
        ),
        "cores": cpu_s / (ended_s - started_s),
        **growth(uses),
    }


def _uses(daemon: Process, seconds: float) -> Iterator[Use]:
    pause, until_s = threading.Event(), time.monotonic() + seconds
    while time.monotonic() < until_s:
        yield Use(
            at_s=time.monotonic(),
            memory_mb=daemon.memory_mb(),
            threads=daemon.threads(),
            descriptors=daemon.descriptors(),
        )
        pause.wait(SAMPLE_EVERY_S)


def healthy_gaps_s(
    taken_s: Sequence[float],
    spans: Sequence[Span],
    *,
    window_s: tuple[float, float],
    grace_s: float,
) -> list[float]:
    """Return the times between judged pictures while a camera was healthy.

    Args:
        taken_s: When its judged pictures were taken, on CLOCK_MONOTONIC.
        spans: What it was like.
        window_s: From when to when the daemon was watched.
        grace_s: So long after it was mended nothing is expected yet.
    """
    gaps_s: list[float] = []
    for span in spans:
        if span["fault"] is not None:
            continue
        start_s = max(span["start_s"] + grace_s, window_s[0])
        end_s = min(span["end_s"], window_s[1])
        before = [at_s for at_s in taken_s if span["start_s"] <= at_s < start_s]
        inside = [at_s for at_s in taken_s if start_s <= at_s <= end_s]
        if end_s > start_s:
            ends = [*(before[-1:] or [start_s]), *inside, end_s]
            gaps_s += [float(gap) for gap in np.diff(ends)]
    return gaps_s


def growth(uses: Sequence[Use]) -> dict[str, float]:
    """Return what was used in the second and the last quarter of the run, and the growth."""
    quarter = max(1, len(uses) // 4)
    early, late = uses[quarter : 2 * quarter], uses[-quarter:]

    def mean(which: Sequence[Use], key: str) -> float:
        return statistics.fmean(float(use[key]) for use in which)  # type: ignore[literal-required]

    memory_mb = mean(early, "memory_mb"), mean(late, "memory_mb")
    return {
        "memory_early_mb": memory_mb[0],
        "memory_late_mb": memory_mb[1],
        "memory_growth_share": memory_mb[1] / memory_mb[0] - 1,
        "threads_early": mean(early, "threads"),
        "threads_late": mean(late, "threads"),
        "descriptors_early": mean(early, "descriptors"),
        "descriptors_late": mean(late, "descriptors"),
    }


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=200)
    parser.add_argument("--faulty-share", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interval", type=float, default=20.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--clips", type=int, default=2, help="different streets")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="of the daemon")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print the figures."""
    arguments = parse_arguments()
    command = [sys.executable, "-m", "benchmarks.camera_farm"]
    command += ["--cameras", str(arguments.cameras), "--clips", str(arguments.clips)]
    command += ["--faulty-share", str(arguments.faulty_share), "--seed", str(arguments.seed)]
    with Process(command, set(os.sched_getaffinity(0))) as farm:
        figures = watch(arguments, json.loads(farm.read_line()), farm)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
