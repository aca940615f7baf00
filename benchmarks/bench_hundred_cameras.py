"""A hundred cameras on two cores: the whole daemon, and the loop that people write instead.

    export MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=4194304    # as the systemd unit does
    python -m benchmarks.bench_hundred_cameras [--cameras 100]
        [--interval 10] [--seconds 180] [--mode patrol] [--json FILE]

Starts loopback cameras (``camera_farm.py``), a broker, and ``lsm-monitor run``, each in a
process of its own, and measures from outside (``watching.py``). Then the contender
(``naive_cameras.py``) with 1, 2, 4, ... cameras until it cannot keep up, and between the last
two by halving. The daemon is asked for its metrics every second, so gaps and ages hold up to
that second; the answers are part of what it costs.

``--cameras 1000 --interval 120 --mode patrol --skip-naive`` is a patrol: every camera is
connected only for the moment of its picture.

A camera is late when two judged pictures are more than two intervals apart, when more video
than one interval waits unread, or when it had to drop pictures because nobody read them.
Everything shares ``--cores``; with more of them the cameras and the broker run on the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.watching import (
    BYTES_PER_S,
    START_LIMIT_S,
    Judged,
    Process,
    Result,
    Spread,
    free_port,
    unread_bytes,
    wait_until_judged,
)
from lsm_monitor.demo.broker import DemoBroker

_COUNTS = re.compile(
    r'^lsm_camera\w+_total\{[^}]*(?:stage|reason)="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE
)
HEAD = (
    "| | cameras | judged / expected | pictures/s | gap p50 / p99 / max, s "
    "| age p50 / p99 / max, s | late | unread, s | dropped | cores "
    "| memory watching / starting, MB | threads | cores of the others | start, s |\n"
    + "|---" * 14
    + "|"
)


class Bench:
    """The cameras, and what measures.

    Args:
        arguments: The command line.
        farm: The cameras.
        cores: Where the contenders run.
        others: Where everything else runs.
    """

    def __init__(
        self, arguments: argparse.Namespace, farm: Process, cores: set[int], others: set[int]
    ) -> None:
        self.arguments = arguments
        self.cores = cores
        self.others = others
        self.url = farm.read_line()
        self._farm = farm

    def measure(
        self,
        who: str,
        cameras: int,
        *,
        watched: Process,
        judged: Judged,
        seconds: float,
        helpers: Mapping[str, Process],
    ) -> Result:
        """Wait until every camera was judged once, then watch for ``seconds``."""
        begun_s = time.time()
        start_memory_mb = wait_until_judged(judged, cameras, watched)
        helpers = {"cameras": self._farm, **helpers}
        started_s, dropped = time.time(), self._dropped()
        cpu_s = {name: process.cpu_s() for name, process in helpers.items()}
        own_cpu_s = watched.cpu_s()
        memory_mb, unread_s, pause = 0.0, 0.0, threading.Event()
        while time.time() - started_s < seconds:
            pause.wait(1.0)
            waiting = unread_bytes(int(self.url.rpartition(":")[2]))
            unread_s = max(unread_s, waiting / BYTES_PER_S)
            memory_mb = max(memory_mb, watched.memory_mb())
        ended_s = time.time()
        watched_s = ended_s - started_s
        gaps_s = judged.gaps_s(started_s, ended_s)
        longest_s = [max(each) for each in gaps_s]
        closed = Spread.of([gap for each in gaps_s for gap in each[:-1]])
        ages_s = judged.ages_s(started_s, ended_s)
        too_long_s = 2 * self.arguments.interval
        return Result(
            who=who,
            cameras=cameras,
            watched_s=watched_s,
            start_s=started_s - begun_s,
            judged=len(ages_s),
            expected=int(cameras * watched_s / self.arguments.interval),
            gap_s=Spread(closed.p50, closed.p99, max(longest_s, default=watched_s)),
            age_s=Spread.of(ages_s),
            late_cameras=sum(gap > too_long_s for gap in longest_s) + cameras - len(gaps_s),
            unread_max_s=unread_s,
            dropped=self._dropped() - dropped,
            cores=(watched.cpu_s() - own_cpu_s) / watched_s,
            memory_peak_mb=memory_mb,
            start_memory_peak_mb=start_memory_mb,
            threads=watched.threads(),
            others_cores={
                name: (process.cpu_s() - cpu_s[name]) / watched_s
                for name, process in helpers.items()
            },
        )

    def _dropped(self) -> int:
        return int(json.loads(self._farm.ask())["dropped"])


def run_daemon(bench: Bench, folder: Path) -> tuple[Result, Judged]:
    """Return what the daemon did with all cameras."""
    arguments, judged, http_port = bench.arguments, Judged(), free_port()
    with running_broker(bench.others) as (port, helpers):
        config = {
            "version": 1,
            "site": "bench",
            "state_dir": str(folder / "state"),
            "mqtt": {"host": "127.0.0.1", "port": port},
            "model": {"device": "cpu", "backend": arguments.backend},
            "http": {"port": http_port},
            "capture": {"patrol_parallel": arguments.patrol_parallel},
            "defaults": {
                "interval_s": arguments.interval,
                "fast_interval_s": arguments.interval,  # half of the streets are flooded
                "stale_after_s": max(120.0, 3 * arguments.interval),
                "mode": arguments.mode,
            },
            "cameras": {
                f"camera-{number}": {"url": f"{bench.url}/camera-{number}"}
                for number in range(arguments.cameras)
            },
        }
        path = folder / "monitor.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        command = [sys.executable, "-m", "lsm_monitor", "run", "--config", str(path)]
        running = Process(command, bench.cores, log=arguments.log)
        with running as daemon, judged.asking(http_port):
            result = bench.measure(
                "lsm-monitor",
                arguments.cameras,
                watched=daemon,
                judged=judged,
                seconds=arguments.seconds,
                helpers=helpers,
            )
    return result, judged


def run_contender(bench: Bench, cameras: int) -> Result:
    """Return what the plain loop did with ``cameras``."""
    judged = Judged()
    command = [sys.executable, "-m", "benchmarks.naive_cameras", bench.url]
    command += ["--cameras", str(cameras), "--interval", str(bench.arguments.interval)]

    def collect(naive: Process) -> None:
        while line := naive.read_line():
            camera, taken_at_s = line.split()
            judged.add(camera, float(taken_at_s))

    with Process(command, bench.cores) as naive:
        collector = threading.Thread(target=collect, args=(naive,))
        collector.start()
        try:
            return bench.measure(
                "plain loop",
                cameras,
                watched=naive,
                judged=judged,
                seconds=bench.arguments.naive_seconds,
                helpers={},
            )
        finally:
            naive.child.kill()
            collector.join()


def most_cameras(bench: Bench) -> tuple[int, list[Result]]:
    """Return how many cameras the contender carries, and every trial."""
    results: list[Result] = []

    def keeps_up(cameras: int) -> bool:
        results.append(run_contender(bench, cameras))
        print(row(results[-1]), flush=True)
        return results[-1].keeps_up(bench.arguments.interval)

    carried, failed = 0, 1
    while failed <= bench.arguments.cameras and keeps_up(failed):
        carried, failed = failed, 2 * failed
    while failed - carried > 1:
        middle = (carried + failed) // 2
        carried, failed = (middle, failed) if keeps_up(middle) else (carried, middle)
    return carried, results


@contextlib.contextmanager
def running_broker(cores: set[int]) -> Iterator[tuple[int, dict[str, Process]]]:
    """Yield the port of mosquitto and its process, or of the demo's broker in this process."""
    with DemoBroker() as demo:
        port = demo.port
        mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if mosquitto is None:
            yield port, {}
            return
    with (
        tempfile.NamedTemporaryFile() as log,
        Process([mosquitto, "-p", str(port)], cores, log=Path(log.name)) as broker,
    ):
        deadline_s = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
        yield port, {"broker": broker}


def row(result: Result) -> str:
    """Return a line of the table."""
    gap_s, age_s = result.gap_s, result.age_s
    cells = [
        result.who,
        f"{result.cameras}",
        f"{result.judged} / {result.expected}",
        f"{result.judged / result.watched_s:.1f}",
        f"{gap_s.p50:.1f} / {gap_s.p99:.1f} / {gap_s.max:.1f}",
        f"{age_s.p50:.2f} / {age_s.p99:.2f} / {age_s.max:.2f}",
        f"{result.late_cameras}",
        f"{result.unread_max_s:.1f}",
        f"{result.dropped}",
        f"{result.cores:.2f}",
        f"{result.memory_peak_mb:.0f} / {result.start_memory_peak_mb:.0f}",
        f"{result.threads}",
        ", ".join(f"{name} {cores:.2f}" for name, cores in result.others_cores.items()),
        f"{result.start_s:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def stages(metrics: str) -> dict[str, int]:
    """Return what the daemon counted since its start, over all cameras, by stage and reason."""
    totals: dict[str, int] = defaultdict(int)
    for name, value in _COUNTS.findall(metrics):
        totals[name] += int(float(value))
    return dict(totals)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=100)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=180.0, help="of watching the daemon")
    parser.add_argument("--mode", choices=("continuous", "patrol"), default="continuous")
    parser.add_argument("--patrol-parallel", type=int, default=16, help="visits at once")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--cores", type=int, default=2, help="for each contender")
    parser.add_argument("--clips", type=int, default=2, help="different streets")
    parser.add_argument("--naive-seconds", type=float, default=45.0, help="per trial")
    parser.add_argument("--skip-naive", action="store_true")
    parser.add_argument("--log", type=Path, default=Path(os.devnull), help="of the daemon")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print the table and the ratio."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # children end with us
    present = sorted(os.sched_getaffinity(0))
    cores = set(present[: arguments.cores])
    others = set(present) - cores or cores
    os.sched_setaffinity(0, others)
    farm_command = [sys.executable, "-m", "benchmarks.camera_farm"]
    farm_command += ["--cameras", str(arguments.cameras), "--clips", str(arguments.clips)]
    with (
        tempfile.TemporaryDirectory(prefix="lsm-bench-") as folder,
        Process(farm_command, others) as farm,
    ):
        bench = Bench(arguments, farm, cores, others)
        print(HEAD, flush=True)
        result, judged = run_daemon(bench, Path(folder))
        print(row(result), flush=True)
        carried, trials = (0, []) if arguments.skip_naive else most_cameras(bench)
    verdict = "kept up with" if result.keeps_up(arguments.interval) else "was late with"
    print(f"\nlsm-monitor {verdict} {arguments.cameras} cameras; it counted", end=" ")
    print(stages(judged.metrics))
    if carried:
        print(f"plain loop: {carried} cameras; ratio {arguments.cameras / carried:.1f}")
    if arguments.json is not None:
        everything = {
            "results": [asdict(each) for each in (result, *trials)],
            "plain_loop_carries": carried,
            "daemon_counts": stages(judged.metrics),
        }
        arguments.json.write_text(json.dumps(everything, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
