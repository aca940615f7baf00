"""A process that needs a plan, started by the tests to be killed.

FOLDER BUILDS STOP    obtains the plan of the store FOLDER and prints its content

A build adds a line to the file BUILDS. STOP says where to wait for a line on stdin, after
printing "stopped": "build" with the plan half written; "1" to "5" before that step of storing
it (flush the plan, flush the manifest, move one, move the other, flush the folder); "" nowhere.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2] / "engines"))

from lsm_engines.plans import PlanKey, PlanStore

FIELDS = {"fingerprint": "c0ffee", "driver": "550.1"}
KEY = PlanKey("encoder", "tensorrt", FIELDS)

T = TypeVar("T")


class Stopper:
    """Stops this process at a named place, and counts the steps of storing a plan."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._step = 0

    def at(self, place: str) -> None:
        if place == self._stop:
            say("stopped")
            sys.stdin.readline()

    def before(self, call: Callable[..., T]) -> Callable[..., T]:
        def counted(*args: object) -> T:
            self._step += 1
            self.at(str(self._step))
            return call(*args)

        return counted


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(folder: str, builds: str, stop: str) -> None:
    stopper = Stopper(stop)
    # The only way to stop between two system calls of the real thing.
    patch.object(os, "fsync", stopper.before(os.fsync)).start()
    patch.object(os, "replace", stopper.before(os.replace)).start()

    def build(path: Path) -> None:
        with Path(builds).open("a") as file:
            file.write("built\n")
        with path.open("w") as plan:
            plan.write("half of ")
            plan.flush()
            stopper.at("build")
            plan.write("the plan")

    say(PlanStore(Path(folder), say).obtain(KEY, build).read_text())


if __name__ == "__main__":
    main(*sys.argv[1:])
