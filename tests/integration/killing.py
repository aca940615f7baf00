"""Kills a daemon at random moments and checks what its subscriber was told.

The law. A restart may change *when* something is decided, because every dwell starts again,
and may therefore skip a level; it may repeat messages. It must not change anything else:

1. every event that became durable arrives, byte for byte;
2. one number of one episode never has two contents;
3. without the repeated ones, each episode is told from ``open`` 1 to ``close`` n in order and
   without gaps;
4. no two episodes of one camera overlap: nothing is opened twice, no close is forgotten;
5. each flood of the script is exactly one episode.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lsm_monitor.types import OutboundMessage
from tests.integration.brokers import subscribed
from tests.integration.killed_daemon import last_step, steps_done

DAEMON = Path(__file__).with_name("killed_daemon.py")
_POLL_S = 0.005
_LATEST_S = 0.3
"""A kill comes at most so long after its step: also while a life is still young."""
EVENTS, ACTIVE = "lsm/v1/kill/camera/+/event", "lsm/v1/kill/event/active/+"


@dataclass(frozen=True, slots=True)
class Report:
    """What a run of kills came to."""

    kills: int
    episodes: int
    events: int
    repeated: int


def kill_at_random(
    folder: Path,
    port: int,
    *,
    protocol: str,
    cameras: int,
    cycles: int,
    kills: int,
    seed: int,
) -> Report:
    """Run the script to its end with ``kills`` SIGKILLs all along it, and check the law.

    Raises:
        AssertionError: The law is broken.
    """
    moments = random.Random(seed)  # noqa: S311 - no secret
    settings = (port, protocol, cameras, cycles)
    command = [sys.executable, str(DAEMON), str(folder), *map(str, settings)]
    done = 0
    with (
        subscribed(port, EVENTS) as heard,
        subscribed(port, ACTIVE) as active,
        subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as zygote,
    ):
        for step in sorted(moments.randrange(last_step(cycles)) for _ in range(kills)):
            late_s = moments.uniform(0.0, _LATEST_S)
            done += _live(zygote, folder, kill_at=step, late_s=late_s)
        assert not _live(zygote, folder, kill_at=None)
        recorded = _recorded(folder)
        heard.wait_until(lambda messages: set(recorded) <= {m.payload for m in messages})
        told = [message.payload for message in heard.all()]
        active.wait_until(lambda messages: set(_newest(messages).values()) == {b""})
    episodes = check(told, recorded, floods=cameras * cycles)
    return Report(done, episodes, len(recorded), len(told) - len(set(told)))


def check(told: Sequence[bytes], recorded: Sequence[bytes], *, floods: int) -> int:
    """Return the number of episodes in ``told``.

    Raises:
        AssertionError: The law is broken.
    """
    assert set(told) == set(recorded)  # 1
    contents: dict[tuple[str, int], bytes] = {}
    kinds: dict[str, list[str]] = defaultdict(list)
    open_at: dict[str, str] = {}
    for payload in told:
        event = json.loads(payload)
        event_id, seq, camera = event["event_id"], event["seq"], event["camera"]
        if (event_id, seq) in contents:
            assert contents[event_id, seq] == payload  # 2
            continue
        contents[event_id, seq] = payload
        kinds[event_id].append(event["event_type"])
        assert seq == len(kinds[event_id])  # 3
        assert (seq == 1) is (event["event_type"] == "open")
        assert open_at.setdefault(camera, event_id) == event_id  # 4
        if event["event_type"] == "close":
            del open_at[camera]
    assert not open_at
    assert len(kinds) == floods  # 5
    return len(kinds)


def _live(
    zygote: subprocess.Popen[bytes],
    folder: Path,
    *,
    kill_at: int | None,
    late_s: float = 0.0,
) -> bool:
    """Let the daemon live until a little after a step, or to its end; return if killed."""
    stdin, stdout = zygote.stdin, zygote.stdout
    assert stdin is not None
    assert stdout is not None
    stdin.write(b"live\n")
    process_id = int(stdout.readline())
    has_ended = False
    while not has_ended and (kill_at is None or steps_done(folder) < kill_at):
        has_ended = bool(select.select([stdout], [], [], _POLL_S)[0])
    if not has_ended and not select.select([stdout], [], [], late_s)[0]:
        os.kill(process_id, signal.SIGKILL)
    status = int(stdout.readline())
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


def _recorded(folder: Path) -> list[bytes]:
    with contextlib.closing(sqlite3.connect(folder / "outbox.sqlite3")) as connection:
        return [row for (row,) in connection.execute("SELECT payload FROM event ORDER BY id")]


def _newest(messages: Sequence[OutboundMessage]) -> dict[str, bytes]:
    return {message.topic: message.payload for message in messages}
