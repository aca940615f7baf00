"""Hostile input by the million: no crash, no hang, no path outside the folder, no pickle.

    python -m benchmarks.fuzz --cases yaml=100000 --cases http=100000 --seed 1

Each target runs in a process of its own, so that a crash in native code is seen as one, and
prints a line when it is done. A failure is shown with the number of its first case:

    python -m benchmarks.fuzz --show yaml:4711 --seed 1 > case.bin
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.harness import Report, case_of, fuzz
from tests.fuzz.targets import NAMES, target


def main() -> int:
    """Run what the command line asks for; 1 when something was found."""
    logging.getLogger("lsm_monitor").setLevel(logging.CRITICAL)  # refusals are what is wanted
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", action="append", metavar="TARGET=N", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="In this process: one target.")
    parser.add_argument("--show", metavar="TARGET:NUMBER", help="Write one case to stdout.")
    arguments = parser.parse_args()
    if arguments.show:
        name, number = arguments.show.split(":")
        with tempfile.TemporaryDirectory() as folder, target(name, Path(folder)) as hostile:
            sys.stdout.buffer.write(case_of(hostile, arguments.seed, int(number)))
        return 0
    wanted = [text.split("=") for text in arguments.cases] or [(name, "1000") for name in NAMES]
    if arguments.here:
        return max(_run(name, int(count), arguments.seed) for name, count in wanted)
    return max(_run_child(name, count, arguments.seed) for name, count in wanted)


def _run_child(name: str, count: str, seed: int) -> int:
    command = [sys.executable, "-m", "benchmarks.fuzz", "--here"]
    command += ["--cases", f"{name}={count}", "--seed", str(seed)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603
    if code < 0:
        print(f"{name}: the process was ended by signal {-code}", flush=True)
    return abs(code)


def _run(name: str, count: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder, target(name, Path(folder)) as hostile:
        report = fuzz(hostile, numbers=range(count), seed=seed, folder=Path(folder))
    _print(report)
    return 1 if report.failures else 0


def _print(report: Report) -> None:
    print(
        f"| {report.name} | {report.cases:,} | {report.refused:,} | "
        f"{report.slowest_s:.2f} | {report.wall_s:.0f} | {report.failures.total()} |",
        flush=True,
    )
    for what, times in report.failures.most_common(20):
        print(f"    {times} x {what}; first: case {report.examples[what]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
