"""Brokers at their worst: is every event told, in order?

    python benchmarks/bench_brokers.py [--events 1200]

1200 events are an hour with one every three seconds. ``tests/integration/bad_brokers.py``
holds the scenarios and their law; mosquitto is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.bad_brokers import BROKERS, SCENARIOS, try_out


def main() -> None:
    """Print the table in ``results.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1200)
    events = parser.parse_args().events
    for scenario in SCENARIOS:
        for broker in BROKERS:
            with tempfile.TemporaryDirectory() as folder:
                outcome = try_out(scenario, broker, Path(folder), events=events)
            print(
                f"| {scenario.__name__.replace('_', ' ')} | {broker} | {outcome.events} | 0 | "
                f"{outcome.repeated} | {outcome.seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
