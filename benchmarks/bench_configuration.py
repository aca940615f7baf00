"""How long a configuration of thousands of cameras takes to read, and to compare for a reload.

    python benchmarks/bench_configuration.py --cameras 5000

Each way of writing it down is measured in a process of its own: CPU time, so that neighbours
count little, and how far the peak of the memory rises above the imports.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from lsm_monitor.config.changes import changes
from lsm_monitor.config.loader import load

HEAD = """\
version: 1
site: west
mqtt: {host: localhost}
groups: {west: {interval_s: 30, username: admin, password: "${env:PW}", trigger: rain}}
"""
ZONES = (
    "[[0.10, 0.95], [0.42, 0.40], [0.55, 0.40], [0.60, 0.95]]",
    "[[0.60, 0.95], [0.55, 0.40], [0.68, 0.40], [0.98, 0.95]]",
)


def write(folder: Path, cameras: int) -> None:
    """Write the same cameras as a table and as YAML, two zones each."""
    table = ["id,url,group,interval_s,zones.lane-1.points,zones.lane-2.points"]
    blocks = ["cameras:"]
    for i in range(cameras):
        url = f"rtsp://192.0.2.1:554/stream{i}"
        table.append(f'cam-{i},{url},west,20,"{ZONES[0]}","{ZONES[1]}"')
        blocks.append(
            f"  cam-{i}:\n    url: {url}\n    group: west\n    interval_s: 20\n    zones:\n"
            f"      lane-1: {{points: {ZONES[0]}}}\n      lane-2: {{points: {ZONES[1]}}}"
        )
    (folder / "cameras.csv").write_text("\n".join(table) + "\n")
    (folder / "table.yaml").write_text(HEAD + "inventory: [cameras.csv]\n")
    (folder / "yaml.yaml").write_text(HEAD + "\n".join(blocks) + "\n")


def measure(path: Path) -> None:
    """Print a row: what was read, CPU seconds, MiB above the imports, seconds to compare."""
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started_s = time.process_time()
    config = load(path, {"PW": "x"}).config
    read_s = time.process_time() - started_s
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    other = config.model_copy(
        update={"cameras": {n: c.model_copy() for n, c in config.cameras.items()}}
    )
    started_s = time.process_time()
    found = changes(config, other)
    compared_s = time.process_time() - started_s
    assert not found, found  # noqa: S101
    print(
        f"{len(config.cameras)} | {read_s:.2f} | {(peak_kib - before_kib) / 1024:.0f} | "
        f"{1000 * compared_s:.0f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=5000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--without-libyaml", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        if arguments.without_libyaml:
            vars(yaml)["__with_libyaml__"] = False
        measure(arguments.measure)
        return
    print("| written as | cameras | read and checked, CPU s | MiB | compared, CPU ms |")
    print("|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        write(Path(folder), arguments.cameras)
        for name, options in (
            ("table", []),
            ("yaml", []),
            ("yaml", ["--without-libyaml"]),
        ):
            command = [sys.executable, __file__, "--measure", f"{folder}/{name}.yaml", *options]
            row = subprocess.check_output(command, text=True)  # noqa: S603
            print(f"| {' '.join([name, *options])} | {row.strip()}")


if __name__ == "__main__":
    main()
