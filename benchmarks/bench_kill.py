"""SIGKILL at random moments: is every event told, once and in order?

    python benchmarks/bench_kill.py [--kills 200] [--cameras 25] [--cycles 40] [--seed 1]

Judges, outbox and publisher run on scripted masks against mosquitto, or against amqtt when
there is no mosquitto; ``tests/integration/killing.py`` says which law is checked.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.integration.brokers import RealBroker, free_port
from tests.integration.killing import kill_at_random
from tests.integration.mosquitto import MOSQUITTO, mosquitto


def main() -> None:
    """Print one line of the table in ``results.md``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cameras", type=int, default=25)
    parser.add_argument("--cycles", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--amqtt", action="store_true")
    settings = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if settings.amqtt or MOSQUITTO is None:
            protocol, broker, port = "3.1.1", "amqtt", stack.enter_context(RealBroker()).port
        else:
            protocol, broker, port = "5", "mosquitto", free_port()
            stack.enter_context(mosquitto(port))
        started_s = time.monotonic()
        report = kill_at_random(
            folder,
            port,
            protocol=protocol,
            cameras=settings.cameras,
            cycles=settings.cycles,
            kills=settings.kills,
            seed=settings.seed,
        )
        seconds = time.monotonic() - started_s
    print(
        f"| {broker} | {report.kills} | {report.episodes} | {report.events} | "
        f"{report.repeated} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
