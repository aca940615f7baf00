"""A daemon in small whose street is a script: judges, outbox and publisher, made to be killed.

    killed_daemon.py FOLDER PORT PROTOCOL CAMERAS CYCLES

Started once, it forks a daemon for each line on stdin, so that a new life costs milliseconds;
it answers with the process id, and with the exit status when that life is over.

The script's time is its steps: one step is one second of every camera. The step to come
stands in a mapped file, which SIGKILL does not lose, so each life goes on where the last one
ended, the interrupted step included: what is decided in a life depends on the steps it saw.
"""

from __future__ import annotations

import asyncio
import functools
import mmap
import os
import struct
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import uuid_utils

sys.path.insert(0, str(Path(__file__).parents[2]))

from lsm_monitor.clock import SystemClock
from lsm_monitor.config.models import MqttConfig
from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.messages import Messages
from lsm_monitor.publish.outbox import Outbox
from lsm_monitor.publish.payloads import Provenance
from lsm_monitor.publish.publisher import Publisher
from lsm_monitor.publish.topics import Topics
from lsm_monitor.runtime.decisions import Decisions
from lsm_monitor.runtime.state_dir import locked
from lsm_monitor.types import CameraId, Episode, FrameStamp, ModelIdentity, WaterMask
from lsm_monitor.water.judge import CameraJudge
from lsm_monitor.water.state import LevelBand, WaterRules
from lsm_monitor.water.zones import WHOLE_PICTURE

START = datetime(2026, 7, 18, tzinfo=UTC)
STEPS_PER_PHASE = 100
STEPS_PER_CYCLE = 3 * STEPS_PER_PHASE
FRACTIONS = (0.0, 0.3, 0.6)
"""A cycle is dry, flooded and severe for so many steps each: one episode."""
RULES = WaterRules(
    wet=LevelBand(enter=0.02, leave=0.01),
    ponding=LevelBand(enter=0.08, leave=0.04),
    flooded=LevelBand(enter=0.25, leave=0.18),
    severe=LevelBand(enter=0.50, leave=0.40),
    open_for_s=2.0,
    level_up_for_s=2.0,
    close_for_s=2.0,
    stale_after_s=20.0,
    min_frames=2,
    of_frames=3,
)
TOPICS = Topics("lsm/v1", "kill")
MASKS = tuple(
    np.repeat([[1.0], [0.0]], [round(100 * share), 100 - round(100 * share)], axis=0)
    .repeat(4, axis=1)
    .astype(np.float32)
    for share in FRACTIONS
)


_STEP = struct.Struct("q")


def last_step(cycles: int) -> int:
    """Return how many steps the script has: one cycle more, for the streets that come last."""
    return STEPS_PER_CYCLE * (cycles + 1)


def steps_done(folder: Path) -> int:
    """Return how far the daemon has come."""
    (step,) = _STEP.unpack((folder / "step").read_bytes())
    return int(step)


class ScriptClock(SystemClock):
    """The time of the script; only waiting for the broker is real."""

    def __init__(self) -> None:
        self.step = 0

    def monotonic_s(self) -> float:
        return 1000.0 + self.step

    def now(self) -> datetime:
        return START + timedelta(seconds=self.step)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.05))


def new_event_id() -> UUID:
    return UUID(bytes=uuid_utils.uuid7().bytes)


def run_script(
    decisions: Decisions, clock: ScriptClock, step_to_come: mmap.mmap, cameras: int, cycles: int
) -> None:
    # Cameras are out of step with each other, so events come evenly.
    shifts = [STEPS_PER_CYCLE * camera // cameras for camera in range(cameras)]
    (clock.step,) = _STEP.unpack(step_to_come[:8])
    while clock.step < last_step(cycles):
        for camera, shift in enumerate(shifts):
            at = clock.step - shift
            phase = (
                at % STEPS_PER_CYCLE // STEPS_PER_PHASE
                if 0 <= at < STEPS_PER_CYCLE * cycles
                else 0
            )
            stamp = FrameStamp(
                CameraId(f"c{camera}"), 0, 0, None, clock.now(), clock.monotonic_s()
            )
            decisions.on_mask(WaterMask(stamp, MASKS[phase], 0.5, 0.0))
        decisions.on_tick()
        clock.step += 1
        step_to_come[:8] = _STEP.pack(clock.step)


def judge_of(camera: int, episodes: Iterable[Episode]) -> CameraJudge:
    return CameraJudge(
        camera_id=CameraId(f"c{camera}"),
        zones=(WHOLE_PICTURE,),
        rules=RULES,
        smoothing_s=0.001,
        new_event_id=new_event_id,
        episodes=episodes,
    )


async def live(folder: Path, port: int, protocol: str, cameras: int, cycles: int) -> None:
    clock, metrics = ScriptClock(), Metrics()
    with (folder / "step").open("r+b") as file:
        step_to_come = mmap.mmap(file.fileno(), 8)
    outbox = Outbox.open(folder / "outbox.sqlite3", now=clock.now(), metrics=metrics)
    messages = Messages(
        TOPICS, Provenance("kill", "0", "0", ModelIdentity("m", "1", "0" * 64, "torch"))
    )
    publisher = Publisher(
        config=MqttConfig.model_validate(
            {"host": "127.0.0.1", "port": port, "protocol": protocol}
        ),
        client_id="lsm-kill",
        birth=messages.status(online=True),
        last_will=messages.status(online=False),
        outbox=outbox,
        stats=lambda: messages.stats(b"{}"),
        metrics=metrics,
        clock=clock,
    )
    decisions = Decisions(
        episodes=outbox.episodes(),
        outbox=outbox,
        messages=messages,
        retain=publisher.retain,
        wake_publisher=publisher.wake,
        state_every_s=60.0,
        metrics=metrics,
        clock=clock,
    )
    for camera in range(cameras):
        decisions.watch(CameraId(f"c{camera}"), functools.partial(judge_of, camera))
    decisions.close_unclaimed()
    publishing = asyncio.create_task(publisher.run())
    await asyncio.to_thread(run_script, decisions, clock, step_to_come, cameras, cycles)
    while await asyncio.to_thread(outbox.count):
        await clock.sleep(0.01)
    publishing.cancel()
    await asyncio.wait([publishing])
    outbox.close()


def main() -> None:
    folder, port, protocol, cameras, cycles = sys.argv[1:]
    state = Path(folder)
    (state / "step").write_bytes(_STEP.pack(0))
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            with locked(state):
                asyncio.run(live(state, int(port), protocol, int(cameras), int(cycles)))
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitpid(child, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
