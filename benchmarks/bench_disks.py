"""Disks at their worst: do alerts go out, and is all well afterwards?

    python benchmarks/bench_disks.py [--events 150]

As root: the disk is a tmpfs of 8 MiB. ``tests/integration/bad_disks.py`` holds the scenarios
and their law.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.bad_disks import SCENARIOS, try_out


def main() -> None:
    """Print the table in ``results.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=150)
    events = parser.parse_args().events
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            seconds = try_out(scenario, Path(folder), events=events)
        name = scenario.__name__.replace("_", " ")
        print(f"| {name} | {events // 3 * 3} | 0 | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
